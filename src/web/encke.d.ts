// encke.js, the browser client of encke: its types, and how it works. The words are here and not there, since
// those in encke.js are sent to every visitor. As a plain script it leaves the global `Encke`; in Node and
// bundlers it is a CommonJS module; encke.mjs beside it is the same as an ES module.
//
//   connecting --welcome--> live --cut, bye, silence--> retrying --backoff--> connecting
//
// Down. A reader's position is one cursor, `<epoch>-<seq>`, on every transport. So a link may be dropped at any
// moment, and the next one, of any kind, goes on with `since=<cursor>`. The cursor moves only with what the
// page was told; what comes twice is known by its number, channel by channel, and left out; what the server
// can't make good is told as a `gap`. Another epoch is another log: every channel is told a gap, once.
//
// Up. Commands stay in a queue until they are answered. One at a time is under way, over the WebSocket or as a
// POST; if its link ends first, the next link sends it again. A publish has a `key`, so that the server makes
// one message of any number of them. When the page goes away, what is left is handed to the browser's beacon.
//
// Which transport. It has proved itself when an event of the server came over it and it lived for a second
// and a half. If it ends without that, `/healthz` is asked: if the server can't be reached, no transport is to
// blame, and the same one is tried again later. If it can, the transport is left for the next of the list:
// at once if nothing came over it, the second time if something did, the third if it had proved itself before.
// Two streams over HTTP that stay silent (the second asks for padding in front) are a proxy that holds
// streams back, and the other streams are passed over. `trail` has it all.
//
// When to come back. As `bye` says, or `Retry-After`; else at any moment (full jitter) of a time that begins
// at half a second and doubles up to thirty. At once on `online` and on waking from sleep, which is seen by
// the clock. A stream that is silent for two heartbeats and a second is cut.
//
// Not here yet: one connection for all tabs of a browser; trying a better transport while a lesser one works
// (a change of network and a reload begin at the top). Where pages of another site may not read the server's
// answers, JSONP must be named, since nothing shows them that the server is there.

export type Transport =
  | "websocket" | "sse" | "fetch" | "xhr" | "htmlfile" | "iframe" | "longpoll" | "jsonp" | "shortpoll";

export type State = "connecting" | "live" | "retrying" | "closed";

export interface Options {
  /** The server's origin, and a path in front if there is one. Left out: where the page is from. */
  url?: string;
  /** Channels to read from the beginning. */
  channels?: string[];
  /** Which transports to use, best first; one alone is never left. Left out: all, websocket first. */
  transports?: Transport[] | Transport;
  /** Sent as the parameter `token`, for an application to look at. */
  token?: string;
  /** Begin with that many latest messages of each channel. Without it, reading starts now. */
  last?: number;
  /** Seconds between two heartbeats; two of them missing end a link. */
  heartbeat?: number;
  /** Go on after this cursor, as `cursor` gave it: after a reload, nothing is lost. */
  since?: string;
  /** Go on as this client, as `sid` gave it. It is a secret. */
  sid?: string;
  /** Types of an application's own events, which Server-Sent Events must know beforehand. */
  events?: string[];
}

export interface Message {
  type: "message";
  /** The cursor after it. */
  id: string;
  ch: string;
  /** The server's word, never the sender's. */
  from: string | null;
  /** Milliseconds since 1970. */
  at: number;
  data: unknown;
  /** `data` is base64 of bytes that are no text. */
  encoding?: "base64";
}

export interface Presence {
  type: "presence";
  id: string;
  ch: string;
  event: "join" | "leave" | "away" | "back";
  user: string;
  count: number;
}

/** Messages of a channel are missing before `cursor`. */
export interface Gap {
  type: "gap";
  ch: string;
  why: "evicted" | "restarted";
  cursor: string;
}

/** One link that is over, or a transport that was not even tried. */
export interface Tried {
  transport: Transport;
  /** Milliseconds. */
  lived: number;
  /** Why it ended, for people. */
  why: string;
  /** The transport was given up for the next of the list. */
  left: boolean;
}

export interface Reply {
  ok: true;
  [member: string]: unknown;
}

/** `code` is for programs, `message` for people. */
export interface Failure extends Error {
  code: string;
}

export interface Events {
  message: Message;
  presence: Presence;
  gap: Gap;
  welcome: { type: "welcome"; sid: string; cursor: string; heartbeat: number; epoch: string };
  heartbeat: { type: "heartbeat"; at: number };
  bye: { type: "bye"; why: string; retry: number };
  /** An entry of `trail`, as it is made. */
  trail: Tried;
  /** Something was refused that nobody is waiting for. */
  error: Failure;
}

type Answer<T> = (error: Failure | null, reply?: T) => void;

export interface Client {
  readonly state: State;
  /** The one in use, or empty between two links. */
  readonly transport: Transport | "";
  /** What was tried, how long it lived, why it ended: the last fifty. */
  readonly trail: Tried[];
  /** Milliseconds that the last command took to be answered; 0 before the first. `command('ping')` measures. */
  readonly rtt: number;
  readonly sid: string;
  readonly cursor: string;

  on<K extends keyof Events>(type: K, act: (event: Events[K]) => void): this;
  on(type: "state", act: (state: State, why?: string) => void): this;
  on(type: string, act: (event: any) => void): this;
  /** Without `act`: all handlers of the type. */
  off(type: string, act?: (...said: any[]) => void): this;

  /** What is published waits for a link if there is none, and arrives once. The reply's `id` is the cursor after it. */
  publish(ch: string, data: unknown): Promise<Reply & { id: string }>;
  publish(ch: string, data: unknown, answer: Answer<Reply & { id: string }>): void;
  subscribe(ch: string, how?: { last?: number; since?: string }): Promise<Reply>;
  subscribe(ch: string, how: { last?: number; since?: string } | undefined, answer: Answer<Reply>): void;
  unsubscribe(ch: string, answer?: Answer<Reply>): Promise<Reply>;
  /** Repeated by itself when the server has forgotten us. The reply's `secret` proves later whose name it is. */
  login(who: string | { nick: string; secret?: string }): Promise<Reply & { user: string; secret: string }>;
  login(who: string | { nick: string; secret?: string }, answer: Answer<Reply>): void;
  who(ch: string, answer?: Answer<Reply>): Promise<Reply & { users: string[]; count: number; readers: number }>;
  history(ch: string, how?: { before?: string; limit?: number }): Promise<Reply & { messages: Message[]; more: boolean }>;
  history(ch: string, how: { before?: string; limit?: number } | undefined, answer: Answer<Reply>): void;
  /** Any other command of the server or its application. */
  command(op: string, fields?: object, answer?: Answer<Reply>): Promise<Reply>;

  /** Other transports from now on; nothing is lost or doubled. Left out: all. */
  use(transports?: Transport[] | Transport): this;
  /** For good. What was not answered fails with the code `closed`. */
  close(): void;
}

declare const Encke: {
  (options?: Options): Client;
  new (options?: Options): Client;
  readonly transports: Transport[];
};

export default Encke;
export as namespace Encke;
