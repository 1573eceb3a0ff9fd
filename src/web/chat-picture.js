// A picture as a file: whether a clipboard or a drop means one, made smaller on a canvas until it fits, sent.
//
// It knows no conversation. What a camera wrote into it, such as where it was taken, the server leaves out whatever
// way a picture comes in. Read first: HTML, sections 4.12.5 (canvas, toBlob) and 6.12 (drag and drop).

const SIDE_MAX = 2048; // pixels; more is not seen on a screen
const SIDE_MIN = 160;
const QUALITIES = [0.86, 0.74, 0.6];
const SHRINK = 0.75;
const KEPT_AS_IS = /^image\/(png|gif|webp)$/; // as sharp as it was made, and it may move

/** `word`: what to tell. `isPassing`: it may go well later without anybody's doing. */
function problem(word, message, isPassing) {
  return Object.assign(new Error(message || word), { word, isPassing: Boolean(isPassing) });
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

/** Resolves to what the server says: `id`, `width`, `height`. XMLHttpRequest, since it alone tells how much has gone up. */
export function upload(blob, name, how) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `pictures?sid=${encodeURIComponent(how.sid)}&name=${encodeURIComponent(name)}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) how.told(event.loaded / event.total); };
    request.onload = () => {
      let said = {};
      try { said = JSON.parse(request.responseText); } catch (e) { /* the status says enough */ }
      // A server that was restarted knows neither us nor our name until the link has told it.
      const isPassing = request.status >= 500 || /^(unknown_sid|login_first|rate_limited)$/.test(said.code);
      if (request.status === 200 || request.status === 201) resolve(said);
      else reject(problem("pictureFailed", said.detail || `HTTP ${request.status}`, isPassing));
    };
    request.onerror = () => reject(problem("pictureFailed", "network", true));
    request.onabort = () => reject(aborted());
    how.signal.addEventListener("abort", () => request.abort());
    request.setRequestHeader("Content-Type", blob.type || "application/octet-stream");
    request.send(blob);
  });
}

const lines = (text) => text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);

// File managers name the file, or where it is; browsers add the address of a picture that was copied from a page.
function saysOnlyFiles(data, files) {
  const all = lines(data.getData("text/plain"));
  if (all.length === 1 && /^(https?|data|blob):\S+$/i.test(all[0]) && /<img\b/i.test(data.getData("text/html"))) return true;
  return all.every((line) => files.some(({ name }) => line === name || (/^(file:|\/|[a-z]:\\)/i.test(line) && endsWith(line, name))));
}

function endsWith(line, name) {
  let path = line;
  try { path = decodeURIComponent(line); } catch (e) { /* no address, then */ }
  return [line, path].some((one) => /[/\\]$/.test(one.slice(0, -name.length)) && one.endsWith(name));
}

/**
 * The files that a clipboard or a drop is about: none where it is about text. Word processors and spreadsheets put a
 * picture of the text beside the text.
 */
export function filesIn(data) {
  const files = Array.from(data && data.files || []);
  return files.length && saysOnlyFiles(data, files) ? files : [];
}
