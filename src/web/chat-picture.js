// A picture on its way: made smaller on a canvas until it fits, then sent.
//
// It knows no conversation. What is drawn anew also loses what a camera wrote into it, such as where it was
// taken. Read first: HTML, section 4.12.5 (canvas, toBlob).

const SIDE_MAX = 2048; // pixels; more is not seen on a screen
const SIDE_MIN = 160;
const QUALITIES = [0.86, 0.74, 0.6];
const SHRINK = 0.75;
const KEPT_AS_IS = /^image\/(png|gif|webp)$/; // no camera's notes in them, and a GIF may move

function problem(word, message) {
  const error = new Error(message || word);
  error.word = word;
  return error;
}

function aborted() {
  const error = new Error("aborted");
  error.name = "AbortError";
  return error;
}

function load(file) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    const address = URL.createObjectURL(file);
    image.onload = () => { URL.revokeObjectURL(address); resolve(image); };
    image.onerror = () => { URL.revokeObjectURL(address); reject(problem("pictureBad")); };
    image.src = address;
  });
}

function draw(image, side, type, quality) {
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const context = canvas.getContext("2d");
  if (type === "image/jpeg") { // it knows no transparency: white instead of black
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, type, quality));
}

/** The picture in at most `limit` bytes. */
export async function shrink(file, limit) {
  const image = await load(file);
  if (!image.naturalWidth) throw problem("pictureBad");
  const isSmall = Math.max(image.naturalWidth, image.naturalHeight) <= SIDE_MAX;
  if (KEPT_AS_IS.test(file.type) && file.size <= limit && isSmall) return file;
  for (let side = SIDE_MAX; side >= SIDE_MIN; side = Math.floor(side * SHRINK)) {
    for (const quality of QUALITIES) {
      const blob = await draw(image, side, "image/jpeg", quality);
      if (blob && blob.size <= limit) return blob;
    }
  }
  throw problem("pictureBig");
}

// XMLHttpRequest, since it alone tells how much has gone up.
function upload(blob, name, how) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/pictures?sid=${encodeURIComponent(how.sid)}&name=${encodeURIComponent(name)}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) how.told(event.loaded / event.total); };
    request.onload = () => {
      let said = {};
      try { said = JSON.parse(request.responseText); } catch (e) { /* the status says enough */ }
      if (request.status === 200 || request.status === 201) resolve(said);
      else reject(problem("pictureFailed", said.detail || `HTTP ${request.status}`));
    };
    request.onerror = () => reject(problem("pictureFailed", "network"));
    request.onabort = () => reject(aborted());
    how.signal.addEventListener("abort", () => request.abort());
    request.setRequestHeader("Content-Type", blob.type || "application/octet-stream");
    request.send(blob);
  });
}

/** Shrinks and sends; resolves to what the server says: `id`, `width`, `height`. `told(share)` as it goes. */
export async function sendPicture(file, how) {
  const blob = await shrink(file, how.limit);
  if (how.signal.aborted) throw aborted();
  how.told(0);
  return upload(blob, file.name || "picture", how);
}
