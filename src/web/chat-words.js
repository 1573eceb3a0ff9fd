// Every word of the chat page, in English and Chinese, and which of the two is spoken.
//
// It knows no element but those that name a word (`data-t…`, see index.html). A line is one thing to say, so
// neither language can lack it. `{n}` stands for what is put in; where English tells one from many, both stand
// there with a bar between them. tests/browser/words.test.mjs looks for lines that nobody says, for words that
// no line has, and for what is put in on one side alone.

import { kept, keep } from "./chat-kept.js";

export const LANGUAGES = { en: "English", zh: "中文" };

export const WORDS = {
  // The frame.
  skip: ["Skip to the messages", "跳到消息"],
  rooms: ["Rooms", "聊天室"],
  roomAdd: ["Find or make a room", "查找或新建聊天室"],
  privates: ["Private messages", "私信"],
  privateAdd: ["Write to somebody", "给某人写信"],
  privateHint: ["Choose a name under People to write to them alone.", "在成员列表里点一个名字，就能单独聊。"],
  people: ["People", "成员"],
  close: ["Close", "关闭"],
  cancel: ["Cancel", "取消"],
  share: ["Copy the link to this room", "复制聊天室链接"],
  shared: ["The link is copied. Whoever opens it lands here.", "链接已复制，打开即可进入这里。"],
  shareBy: ["The link to this room:", "本聊天室的链接："],
  connection: ["Connection", "连接状态"],
  messages: ["Messages", "消息"],
  online: ["{n} here|{n} here", "{n} 人在线"],
  privateWith: ["Only the two of you", "只有你们两个人"],
  you: ["you", "你"],
  away: ["away", "离开"],
  nobodyHere: ["Nobody with a name yet", "还没有具名的成员"],
  unread: ["{n} unread", "{n} 条未读"],
  mentions: ["{n} mention you|{n} mention you", "{n} 条提到你"],
  leaveRoom: ["Leave {name}", "退出 {name}"],
  forgetPrivate: ["Close the conversation with {name}", "关闭与 {name} 的对话"],

  // Coming in.
  yourName: ["Your name", "你的名字"],
  joinHint: ["No account, no password. The name stays yours in this browser.", "无需注册，无需密码。名字会保留在这个浏览器里。"],
  nickHint: ["What shall we call you?", "怎么称呼你？"],
  join: ["Join", "加入"],
  nickTaken: ["Somebody else has the name {name}. Try another one.", "名字“{name}”已被别人使用，换一个试试。"],
  nickBad: ["A name has 1 to 32 visible characters, each word in one alphabet, and none of / , ? # @", "名字为 1 到 32 个可见字符，每个词只用一种字母，且不能包含 / , ? # @"],
  guest: ["Guest", "访客"],

  // Writing.
  message: ["Message", "消息"],
  messageHint: ["Write to {name}", "发消息到 {name}"],
  send: ["Send", "发送"],
  emoji: ["Emoji", "表情"],
  emojiFind: ["Find an emoji", "搜索表情"],
  emojiNone: ["No emoji of that name.", "没有找到这个表情。"],
  emojiRecent: ["Used lately", "最近使用"],
  emojiFaces: ["Faces", "表情"],
  emojiHands: ["Hands and people", "手势与人物"],
  emojiNature: ["Nature", "自然"],
  emojiFood: ["Food", "食物"],
  emojiThings: ["Things and places", "物品与地点"],
  emojiSigns: ["Signs", "符号"],
  mentionWhom: ["Whom to mention", "提到谁"],
  answeringTo: ["Answer to {name}", "回复 {name}"],
  waitingFull: ["Not taken: {n} messages wait for the connection already. It stays in the field.|Not taken: {n} messages wait for the connection already. It stays in the field.", "未接受：已有 {n} 条消息在等待连接，内容仍保留在输入框中。"],
  tooLong: ["That is {n} characters too long.|That is {n} characters too long.", "超出了 {n} 个字符。"],
  muted: ["You are muted here for another {n} s.", "你已被禁言，还有 {n} 秒。"],
  refused: ["It was not taken: {why}", "未被接受：{why}"],

  // Pictures.
  pictureAdd: ["Add a picture", "添加图片"],
  picture: ["Picture", "图片"],
  pictureOpen: ["Enlarge {name}", "放大 {name}"],
  pictureDrop: ["Drop pictures to send them", "松开即可发送图片"],
  pictureShrink: ["Making {name} smaller…", "正在压缩 {name}…"],
  pictureSend: ["Sending {name}: {n} %", "正在发送 {name}：{n}%"],
  pictureWaits: ["{name} waits for the connection", "{name} 正在等待连接"],
  pictureBad: ["{name} can’t be shown as a picture.", "{name} 无法作为图片显示。"],
  pictureBig: ["{name} doesn’t get small enough.", "{name} 无法压缩到允许的大小。"],
  pictureFailed: ["{name} did not arrive: {why}", "{name} 发送失败：{why}"],
  pictureGone: ["Picture no longer kept", "图片已不再保存"],
  pictureOriginal: ["Open by itself", "单独打开"],

  // Messages.
  today: ["Today", "今天"],
  yesterday: ["Yesterday", "昨天"],
  newLine: ["New", "新消息"],
  sending: ["Sending", "发送中"],
  waits: ["Waits for the connection", "等待连接"],
  sent: ["Sent", "已发送"],
  delivered: ["Delivered", "已送达"],
  read: ["Read", "已读"],
  readBy: ["Read by {n}|Read by {n}", "{n} 人已读"],
  failed: ["Not sent", "未发送"],
  tryAgain: ["Try again", "重试"],
  discard: ["Discard", "放弃"],
  reply: ["Reply", "回复"],
  remove: ["Delete", "删除"],
  removeSure: ["Delete this message for everybody?", "为所有人删除这条消息？"],
  removed: ["This message was deleted", "此消息已删除"],
  quoteGone: ["An earlier message", "一条更早的消息"],
  quoteJump: ["Go to the message by {name}", "跳到 {name} 的消息"],
  anonymous: ["anonymous", "匿名"],
  terminal: ["from outside", "来自外部"],
  notice: ["Notice", "公告"],
  bytes: ["{n} bytes of data|{n} bytes of data", "{n} 字节数据"],
  joined: ["{names} joined", "{names} 加入了"],
  left: ["{names} left", "{names} 离开了"],
  joinedMany: ["{names} and {n} more joined|{names} and {n} more joined", "{names} 等另 {n} 人加入了"],
  leftMany: ["{names} and {n} more left|{names} and {n} more left", "{names} 等另 {n} 人离开了"],
  gapEvicted: ["Messages are missing here: they came while you were away and are no longer kept.", "这里缺少一些消息：它们在你不在时到达，已不再保存。"],
  gapRestarted: ["The server was restarted; what was said before is kept by this page alone.", "服务器已重启；此前的内容只保存在这个页面里。"],
  beginning: ["This is where it begins.", "这里是最早的消息。"],
  earlier: ["Earlier messages", "更早的消息"],
  loading: ["Loading…", "加载中…"],
  emptyRoom: ["Quiet as space", "静如太空"],
  emptyRoomHint: ["Nobody has said anything in {name} yet. Be the first, or send somebody the link.", "{name} 里还没有人说话。来说第一句，或把链接发给朋友。"],
  emptyPrivate: ["Just you and {name}", "只有你和 {name}"],
  emptyPrivateHint: ["What you write here is read by {name} alone, now or at their next visit.", "这里的内容只有 {name} 能看到；不在线时，下次登录会收到。"],
  newest: ["{n} new message|{n} new messages", "{n} 条新消息"],
  toNewest: ["To the newest", "回到最新"],
  typing: ["{names} is writing…", "{names} 正在输入…"],
  typingMany: ["{names} are writing…", "{names} 正在输入…"],
  typingCrowd: ["Several people are writing…", "好几个人正在输入…"],
  said: ["{name} in {room}: {text}", "{name} 在 {room}：{text}"],

  // The connection.
  connecting: ["Connecting", "连接中"],
  retrying: ["Reconnecting", "重新连接中"],
  offline: ["Offline", "离线"],
  closed: ["Closed", "已关闭"],
  offlineBanner: ["You are offline. What you write waits here and is sent by itself.", "你已离线。写下的内容会在这里等待，恢复后自动发送。"],
  retryBanner: ["The connection is lost; trying again. What you write waits and is sent by itself.", "连接已断开，正在重试。写下的内容会自动发送。"],
  wayTitle: ["Connection", "连接"],
  wayNow: ["In use", "当前方式"],
  wayRtt: ["Round trip", "往返时间"],
  wayMs: ["{n} ms", "{n} 毫秒"],
  wayUnknown: ["not measured yet", "尚未测量"],
  wayChoose: ["Read over", "接收方式"],
  wayAuto: ["Whatever gets through best", "自动选择最好的"],
  wayTrail: ["What happened", "经过"],
  wayLab: ["See all of them side by side, measured", "并排查看所有方式的实测对比"],
  wayQuiet: ["Nothing to report: the first one tried works.", "一切正常：首选方式可用。"],
  wayLeft: ["{way} was given up after {time}: {why}.", "{way} 在 {time} 后被放弃：{why}。"],
  wayEnded: ["{way} ended after {time}: {why}.", "{way} 在 {time} 后中断：{why}。"],
  wayFailed: ["{way}: {why}.", "{way}：{why}。"],
  wayTimes: ["({n} time)|({n} times)", "（{n} 次）"],
  waySkipped: ["{way} was passed over: {why}.", "跳过了 {way}：{why}。"],
  seconds: ["{n} s", "{n} 秒"],
  minutes: ["{n} min", "{n} 分钟"],
  whyCut: ["the connection was cut", "连接被切断"],
  whyClosed: ["it did not open", "未能打开"],
  whyMissing: ["this browser doesn’t have it", "此浏览器不支持"],
  whySilent: ["nothing was heard for too long", "太久没有收到数据"],
  whyStarved: ["it opened but brought nothing, as behind a proxy that holds data back", "已打开但没有数据，像是被代理扣留"],
  whyHeld: ["a proxy holds streams back", "代理扣留了数据流"],
  whySlept: ["the device slept", "设备休眠过"],
  whyNetwork: ["the network changed", "网络发生了变化"],
  whyReach: ["the server can’t be reached", "无法连接到服务器"],
  whyBye: ["the server asked to come back later", "服务器要求稍后再来"],
  whyUnanswered: ["a command was not answered", "命令没有得到回应"],
  whyChanged: ["something in between changes what is sent", "中间有设备改动了数据"],
  whyKicked: ["You were asked to leave", "你已被请出"],
  whyBanned: ["You can’t come in from here for some time.", "你暂时不能从这里进入。"],

  // Dialogs.
  settings: ["Settings", "设置"],
  colour: ["Your colour", "你的颜色"],
  language: ["Language", "语言"],
  theme: ["Appearance", "外观"],
  themeSystem: ["As the system", "跟随系统"],
  themeLight: ["Light", "浅色"],
  themeDark: ["Dark", "深色"],
  logout: ["Leave the chat", "退出聊天"],
  logoutHint: ["Your name stays kept in this browser for the next time.", "名字会保留在这个浏览器里，下次可用。"],
  shortcuts: ["Keyboard", "键盘快捷键"],
  keySend: ["Send", "发送"],
  keyLine: ["New line", "换行"],
  keyMention: ["Mention somebody", "提到某人"],
  keyEmoji: ["Emoji by name", "按名称输入表情"],
  keyMessages: ["From message to message", "在消息之间移动"],
  keyRooms: ["Next or last conversation", "上一个或下一个对话"],
  keyUnread: ["Next or last unread conversation", "上一个或下一个未读对话"],
  keyFind: ["Find or make a room", "查找或新建聊天室"],
  keyWrite: ["To the message field", "跳到输入框"],
  keyEscape: ["Close, or to the newest message", "关闭，或回到最新消息"],
  keyHelp: ["This list", "显示此列表"],
  roomName: ["Name of the room", "聊天室名称"],
  roomNameHint: ["One that exists, or a new one", "已有的，或新的"],
  roomEnter: ["Enter", "进入"],
  roomMake: ["Make “{name}”", "新建“{name}”"],
  roomBad: ["A room’s name has 1 to 64 characters, and none of / , ? # @", "聊天室名称为 1 到 64 个字符，且不能包含 / , ? # @"],
  roomsNow: ["Where people are now", "大家都在哪里"],
  roomsNone: ["No other room is open. Make one.", "没有其他聊天室，新建一个吧。"],
  privateName: ["To whom?", "写给谁？"],
  privateStart: ["Write", "写信"],
  noSuchUser: ["Nobody by the name {name} has been here.", "没有叫 {name} 的人来过。"],
};

const spoken = choose();

function choose() {
  const asked = new URLSearchParams(location.search).get("lang") || kept("language");
  if (Object.keys(LANGUAGES).indexOf(asked) >= 0) return asked;
  return /^zh\b/i.test(navigator.language || "") ? "zh" : "en";
}

/** The language spoken, as an HTML `lang`. */
export const language = () => spoken;

/** Speaks another language from now on; the page is loaded anew with it, which costs nothing that is kept. */
export function speak(name) {
  keep("language", name);
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  history.replaceState(history.state, "", address);
  location.reload();
}

/** One line of the table, with what is to be put in. */
export function t(key, put) {
  const [english, chinese] = WORDS[key];
  const forms = (spoken === "zh" ? chinese : english).split("|");
  const form = put && forms.length > 1 && put.n !== 1 ? forms[1] : forms[0];
  return form.replace(/\{(\w+)\}/g, (_, name) => (put && name in put ? String(put[name]) : ""));
}

/** Puts the words into the elements of the page that name one. */
export function label() {
  document.documentElement.lang = spoken === "zh" ? "zh-CN" : "en";
  const all = (name, act) => {
    for (const place of document.querySelectorAll(`[data-${name}]`)) act(place, t(place.getAttribute(`data-${name}`)));
  };
  all("t", (place, words) => { place.textContent = words; });
  all("t-label", (place, words) => place.setAttribute("aria-label", words));
  all("t-hint", (place, words) => place.setAttribute("placeholder", words));
  all("t-tip", (place, words) => {
    place.setAttribute("aria-label", words);
    place.setAttribute("title", words);
  });
}
