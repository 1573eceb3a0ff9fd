// Every word of the laboratory, in English and Chinese, and which of the two is spoken.
//
// It knows no element but those that name a word (`data-t…`, see lab.html). A line is one thing to say, so
// neither language can lack it. The choice is the chat's own, kept under the same name.

import { kept, keep } from "./chat-kept.js";

export const WORDS = {
  title: ["The laboratory", "实验室"],
  lead: [
    "One channel, read over every way to the browser there has been, side by side. Each message is published once and told by each of them. Watch what each way pays for it.",
    "同一个频道，用浏览器有过的每一种方式同时读取。每条消息只发布一次，由每种方式各送达一次。看看每种方式各付出了什么。",
  ],
  toChat: ["Chat", "聊天"],
  theme: ["Light or dark", "明暗切换"],
  bench: ["Controls", "控制台"],
  rate: ["Publish", "发布频率"],
  rate0: ["nothing", "不发布"],
  rate02: ["one in 5 s", "每 5 秒一条"],
  rate1: ["one a second", "每秒一条"],
  rate5: ["5 a second", "每秒 5 条"],
  rate20: ["20 a second", "每秒 20 条"],
  size: ["Length of a message", "消息长度"],
  size0: ["a word", "一个词"],
  size200: ["200 bytes", "200 字节"],
  size2000: ["2,000 bytes", "2000 字节"],
  one: ["Publish one now", "立即发布一条"],
  pauseAll: ["Pause all", "全部暂停"],
  resumeAll: ["Resume all", "全部继续"],
  reset: ["Count anew", "重新计数"],
  sent: ["Published here:", "本页已发布："],
  curl: ["or from a terminal:", "或者从终端："],
  race: ["What a message costs", "一条消息的代价"],
  perMessage: ["bytes a message", "每条消息字节数"],
  delay: ["delay", "延迟"],
  headBytes: ["HTTP headers", "HTTP 头"],
  bodyBytes: ["messages and what is around them", "消息及其外壳"],
  medianDelay: ["median delay, 1 ms to 10 s", "延迟中位数，1 毫秒到 10 秒"],
  try: ["Four things to try", "动手试四件事"],
  try1: [
    "Publish nothing for a while. Short polling goes on paying, every two seconds, for the news that there is none. All others are silent.",
    "先停止发布。短轮询每两秒仍要付一次钱，只为得知“没有消息”；其他方式都安静了。",
  ],
  try2: [
    "Publish one message. It waits for the next short poll, up to two seconds; to all others it comes within milliseconds.",
    "发布一条消息。短轮询要等到下一次询问，最多两秒；其他方式几毫秒就到了。",
  ],
  try3: [
    "Publish 20 a second. Long polling becomes a request for each answer, while a stream adds a few bytes to each message, and a WebSocket frame two to four.",
    "每秒发布 20 条。长轮询变成一问一答，而流式传输每条消息只多几个字节，WebSocket 一帧只多二到四个。",
  ],
  try4: [
    "Pause one and resume it: it comes back as a new reader. A chat comes back with a cursor instead, and is given what it missed.",
    "暂停一个再继续：它像新读者一样回来。真正的聊天会带着游标回来，错过的都会补上。",
  ],
  transports: ["Transports", "传输方式"],
  six: ["Why a browser can't do this often", "为什么浏览器里不能常这么做"],
  sixText: [
    "Over HTTP/1.1 a browser opens at most six connections to one origin. Long polling, the iframe, the stream and Server-Sent Events hold one each here, JSONP a fifth if it is switched on, so one is left for short polls and nothing else: a second tab of this page would wait for its turn, which is shown as “waiting”. WebSockets are counted apart, and what you publish goes over one of them, so it is never held up. HTTP/2 ends the shortage: all requests share one connection.",
    "在 HTTP/1.1 下，浏览器对同一来源最多开六条连接。这里的长轮询、iframe、流和 SSE 各占一条，打开 JSONP 时再占一条，剩下的只够短轮询；再开一个本页标签就要排队，会显示“等待中”。WebSocket 另外计数，你发布的消息就走它，因此不会被堵住。HTTP/2 结束了这种短缺：所有请求共用一条连接。",
  ],
  counted: ["How this is counted", "这些数字怎么来的"],
  countedText: [
    "Bodies are counted as they arrive. Response headers are the ones the browser shows, written as HTTP/1.1 writes them; for streams that hide theirs, a HEAD request tells. A fetch’s request headers are counted by the server. Figures with ≈ have an estimated part: the headers that an EventSource, an iframe, a script or a WebSocket sends, taken to be like those of a fetch. Where a WebSocket compresses, its figure is before compression. TCP and TLS are not counted. The delay is from publishing on this page to the page’s code being called, by one clock.",
    "正文按到达的字节计数。响应头取浏览器可见的，按 HTTP/1.1 的写法计算；看不到响应头的流，用一次 HEAD 请求来量。fetch 的请求头由服务器计数。带 ≈ 的数字含估计：EventSource、iframe、script、WebSocket 的请求头按 fetch 的来算。WebSocket 若压缩，数字是压缩前的。不含 TCP 与 TLS。延迟从本页发布算到本页代码被调用，用同一个时钟。",
  ],
  messages: ["messages", "消息"],
  requests: ["requests", "请求"],
  wakes: ["wake-ups", "唤醒次数"],
  heads: ["header bytes", "头部字节"],
  body: ["body bytes", "正文字节"],
  each: ["bytes each", "字节/条"],
  pause: ["Pause", "暂停"],
  resume: ["Resume", "继续"],
  onWire: ["On the wire", "线上实况"],
  how: ["How it works", "工作原理"],
  delays: ["Delay of the last {n}: now {last}, median {median}", "最近 {n} 条的延迟：当前 {last}，中位数 {median}"],
  noDelay: ["No message yet", "还没有消息"],
  on: ["open", "已打开"],
  off: ["paused", "已暂停"],
  waiting: ["waiting", "等待中"],
  lost: ["coming back", "重连中"],
  jsonpOff: ["off: start encke with --jsonp", "未启用：用 --jsonp 启动 encke"],

  short: ["Short polling", "短轮询"],
  shortBrief: ["“Anything new?” every two seconds, answered at once.", "每两秒问一次“有新消息吗？”，马上得到回答。"],
  shortHow: [
    "A timer asks again and again. Each question and each answer has its own headers, mostly to say that there is nothing. Half the interval is the average delay. It works everywhere, even where nothing else does, and its cost depends on the clock and not on the messages.",
    "定时器反复提问。每次问答都带一套头部，多数只为说明没有消息。平均延迟是间隔的一半。它到处可用，代价取决于时钟，而不是消息多少。",
  ],
  long: ["Long polling", "长轮询"],
  longBrief: ["A question that waits for its answer.", "一个会等到答案的问题。"],
  longHow: [
    "The server holds the request until there is something to tell, or 25 seconds have passed; then the page asks anew. The delay is small, silence is nearly free, and every proxy lets it pass, because each answer is an ordinary, finished one. What comes while the next question is on its way waits in the log, and the cursor in the question finds it.",
    "服务器扣住请求，直到有消息或过了 25 秒；随后页面再问。延迟小，安静时几乎不花钱，任何代理都放行，因为每个回答都是普通而完整的。两问之间到来的消息留在日志里，问题里的游标会找到它。",
  ],
  jsonp: ["JSONP", "JSONP"],
  jsonpBrief: ["Long polling by script elements, across origins.", "用 script 标签做的长轮询，可以跨域。"],
  jsonpHow: [
    "A script may be loaded from anywhere, so the answer is a script that calls a function of the page with the events. It was the way across origins before CORS. Once asked for, a script can’t be called back. Any site can read it, so encke serves it only when told to.",
    "脚本可以从任何地方加载，所以回答就是一段脚本，用事件去调用页面里的函数。在 CORS 之前，这是跨域的办法。脚本一旦请求就无法撤回。任何网站都能读到它，所以 encke 默认不提供。",
  ],
  iframe: ["Forever iframe", "永久 iframe"],
  iframeBrief: ["A hidden page that never finishes loading.", "一个永远加载不完的隐藏页面。"],
  iframeHow: [
    "The server sends an HTML document and leaves it open. Each message is a script element that calls the page around it, run as soon as its end tag is there. Two kilobytes of padding come first, since browsers hold back the beginning. It is how streaming began; the tab may look as if it were loading for ever.",
    "服务器发出一个 HTML 文档并让它一直开着。每条消息是一个 script 标签，结束标签一到就执行，去调用外层页面。开头有两千字节的填充，因为浏览器会压住开头。流式推送就是这样开始的；标签页看上去像永远在加载。",
  ],
  stream: ["HTTP streaming", "HTTP 流"],
  streamBrief: ["One response, read while it is being sent.", "一个响应，边发边读。"],
  streamHow: [
    "The same endless response without the document: one JSON object a line, read with fetch as its chunks arrive. (XMLHttpRequest can do it too, but keeps all it has ever received.) A proxy that buffers whole responses breaks it, which is why a client must try and not assume.",
    "同样是无尽的响应，但没有文档：一行一个 JSON 对象，用 fetch 在数据块到达时读取。（XMLHttpRequest 也行，但会保留收到的一切。）会缓冲整个响应的代理会让它失灵，所以客户端要先试再信。",
  ],
  sse: ["Server-Sent Events", "服务器推送事件 SSE"],
  sseBrief: ["HTTP streaming as a standard, with a memory.", "成为标准的 HTTP 流，还有记忆。"],
  sseHow: [
    "EventSource reads an endless text of named fields. It reconnects by itself and sends the last `id:` it saw as Last-Event-ID, which is encke’s cursor, so nothing is lost in between. It goes one way, from the server to the page; what the page says goes by ordinary requests.",
    "EventSource 读取一段由命名字段组成的无尽文本。它会自动重连，并把最后见到的 id: 作为 Last-Event-ID 送回，那正是 encke 的游标，中间不会丢。它是单向的，页面要说话就发普通请求。",
  ],
  ws: ["WebSocket", "WebSocket"],
  wsBrief: ["No longer HTTP: frames, both ways.", "不再是 HTTP：双向的帧。"],
  wsHow: [
    "It begins as a request and changes the protocol. After that there are no headers, only frames: two to four bytes in front of a message from the server, four more for the mask on one from the page. It is the cheapest way and the only one that goes both ways; and the one that an old proxy most often lets die.",
    "它以请求开始，然后更换协议。此后没有头部，只有帧：服务器发来的消息前面只有二到四个字节，页面发出的再加四字节掩码。它最省，也是唯一双向的；但也最容易被老代理弄断。",
  ],
};

const spoken = choose();

function choose() {
  const asked = new URLSearchParams(location.search).get("lang") || kept("language");
  if (asked === "en" || asked === "zh") return asked;
  return /^zh\b/i.test(navigator.language || "") ? "zh" : "en";
}

/** The language spoken, as an HTML `lang`. */
export const language = () => spoken;

/** Speaks another language from now on. */
export function speak(name) {
  keep("language", name);
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  history.replaceState(null, "", address);
  location.reload();
}

/** One line of the table, with what is to be put in. */
export function t(key, put) {
  const said = WORDS[key][spoken === "zh" ? 1 : 0];
  return said.replace(/\{(\w+)\}/g, (_, name) => (put && name in put ? String(put[name]) : ""));
}

/** Puts the words into the elements of the page that name one. */
export function label() {
  document.documentElement.lang = spoken === "zh" ? "zh-CN" : "en";
  for (const place of document.querySelectorAll("[data-t]")) place.textContent = t(place.dataset.t);
  for (const place of document.querySelectorAll("[data-t-label]")) place.setAttribute("aria-label", t(place.dataset.tLabel));
}
