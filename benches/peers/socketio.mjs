// socket.io over WebSocket alone, without compression: one event to everyone.
import { createRequire } from "node:module";
import { createServer } from "node:http";
const { Server } = createRequire(`${process.env.BENCH_NPM}/`)("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, httpCompression: false });
io.on("connection", (socket) => {
  socket.on("pub", (text) => io.emit("message", text));
});
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
