/* Encke: live messages over whatever transport the browser and its network let through.
 *
 *   var c = Encke({ channels: ['lobby'] });
 *   c.on('message', function (m) { ... m.ch, m.data ... });
 *   c.publish('lobby', 'hello');
 *
 * How it works, and its types: encke.d.ts. What is served as /encke.js is encke.min.js, made from this.
 */
(function (root) {
  'use strict';

  var PROOF_MS = 5000; // to a link's first event
  var YOUNG_MS = 1500; // too short a life to prove a transport
  var BACKOFF_MS = 500; // doubles; the wait is anything below
  var BACKOFF_MAX_MS = 30000;
  var REPLY_MS = 15000;
  var TICK_MS = 500;
  var SLEPT_MS = 10000;
  var WAIT_S = 25;
  var SHORT_MS = 1000;
  var XHR_MAX = 1e6; // it keeps all that came; begin anew then
  var PAD = 4096;
  var TRAIL_MAX = 50;
  var TYPES = ['welcome', 'message', 'presence', 'gap', 'heartbeat', 'bye', 'reply', 'typing'];
  var ORDER = ['websocket', 'sse', 'fetch', 'xhr', 'htmlfile', 'iframe', 'longpoll', 'jsonp', 'shortpoll'];
  var STREAMS = { sse: 1, fetch: 1, xhr: 1, htmlfile: 1, iframe: 1 };
  // The others need a document.
  var NEEDS = { websocket: 'WebSocket', sse: 'EventSource', fetch: 'AbortController', xhr: 'XMLHttpRequest',
    htmlfile: 'ActiveXObject', longpoll: 'XMLHttpRequest', shortpoll: 'XMLHttpRequest' };

  var doc = root.document;
  var exposed = 0;

  function nothing() {}
  function each(list, act) { for (var i = 0; list && i < list.length; i++) act(list[i]); }
  function now() { return +new Date(); }
  function parse(text) { try { return JSON.parse(text); } catch (e) { return null; } }

  function request(method, url, body, ms, done, part) {
    var x = new XMLHttpRequest(), timer = ms && setTimeout(function () { finish(); }, ms);
    function finish(status) {
      var act = done;
      done = part = 0;
      clearTimeout(timer);
      if (!status) x.abort();
      if (act) act(status || 0, status && parse(x.responseText), status && retryMs(x.getResponseHeader('Retry-After')));
    }
    x.onreadystatechange = function () {
      try { if (part && x.readyState > 2 && x.status === 200) part(x.responseText); } catch (e) {}
      if (x.readyState === 4) finish(x.status);
    };
    x.open(method, url, true);
    x.send(body);
    return function () { done = 0; finish(); };
  }

  function retryMs(seconds) { return seconds > 0 ? seconds * 1000 * (1 + Math.random() / 2) : 0; }

  function expose(home, act) {
    var name = 'encke_' + ++exposed;
    home[name] = act;
    return { name: name, retract: function () { home[name] = nothing; } };
  }

  function liner(link) {
    var rest = '';
    return function (text) {
      var lines = (rest + text).split('\n');
      rest = lines.pop();
      each(lines, function (line) { if (/\S/.test(line)) link.text(line); });
    };
  }

  // Each opens a link and returns how to stop it.

  var open = {
    websocket: function (link) {
      var s = new WebSocket(link.url('/ws').replace(/^http/, 'ws'));
      s.onmessage = function (e) { link.text(e.data); };
      s.onclose = function (e) { link.end(e.reason); };
      link.say = function (command) { s.send(JSON.stringify(command)); };
      return function () { s.close(); };
    },

    sse: function (link) {
      var s = new EventSource(link.url('/sse'));
      each(TYPES.concat(link.types), function (type) {
        s.addEventListener(type, function (e) { link.text(e.data); });
      });
      s.onerror = function () { link.end(); };
      return function () { s.close(); };
    },

    fetch: function (link) {
      var stop = new AbortController(), decoder = new TextDecoder(), lines = liner(link);
      fetch(link.url('/stream'), { signal: stop.signal, cache: 'no-store' }).then(function (r) {
        if (!r.ok) {
          return r.text().then(function (t) { link.refused(r.status, parse(t), retryMs(r.headers.get('Retry-After'))); });
        }
        var reader = r.body.getReader();
        return (function more() {
          return reader.read().then(function (part) {
            if (part.done) return link.end();
            lines(decoder.decode(part.value, { stream: true }));
            return more();
          });
        })();
      }).then(nothing, function () { link.end(); });
      return function () { stop.abort(); };
    },

    xhr: function (link) {
      var lines = liner(link), at = 0;
      return request('GET', link.url('/stream'), null, 0, link.refused, function (text) {
        var from = at;
        at = text.length;
        lines(text.slice(from));
        if (at > XHR_MAX) link.renew();
      });
    },

    iframe: function (link) { return frame(link, doc, root); },

    // It lives while it is referred to.
    htmlfile: function (link) {
      var file = link.file = new ActiveXObject('htmlfile'), stop;
      file.open();
      file.write('<body>');
      file.close();
      stop = frame(link, file, file.parentWindow);
      return function () {
        stop();
        file = link.file = 0;
        if (root.CollectGarbage) CollectGarbage();
      };
    },

    longpoll: function (link) { return poll(link, WAIT_S, getBody); },
    shortpoll: function (link) { return poll(link, 0, getBody); },
    jsonp: function (link) { return poll(link, WAIT_S, scriptBody); }
  };

  function frame(link, doc, home) {
    var call = expose(home, link.take), f = doc.createElement('iframe');
    f.style.display = 'none';
    f.src = link.url('/iframe', { callback: call.name });
    f.onload = function () { link.end(); };
    doc.body.appendChild(f);
    return function () {
      f.onload = null;
      f.parentNode.removeChild(f);
      call.retract();
    };
  }

  // The first poll never hangs and is the welcome. It alone names the channels: a later one that did could
  // undo a subscribe that overtakes it.
  function poll(link, wait, ask) {
    var stop, timer;
    (function next() {
      var hang = link.ok ? wait : 0, from = now();
      link.limit = hang * 1000 + link.proof;
      stop = ask(link, { wait: hang }, hang * 1000 + link.proof + 1000, function (body) {
        link.body(body);
        var quick = hang && (body.events.length || now() - from > SHORT_MS) || !link.polled++;
        if (!link.dead) timer = setTimeout(next, quick ? 0 : SHORT_MS * (0.75 + Math.random() / 2));
      });
    })();
    return function () { clearTimeout(timer); if (stop) stop(); };
  }

  function getBody(link, query, ms, done) {
    return request('GET', link.url('/poll', query), null, ms, function (status, body, retry) {
      if (status === 200 && body && body.events) done(body);
      else link.refused(status, body, retry);
    });
  }

  function scriptBody(link, query, ms, done) {
    var script = doc.createElement('script'), call = expose(root, function (body) { clear(); done(body); });
    function clear() {
      call.retract();
      script.onload = script.onerror = null;
      if (script.parentNode) script.parentNode.removeChild(script);
    }
    query.callback = call.name;
    script.src = link.url('/jsonp', query);
    script.onload = script.onerror = function () { clear(); link.end('no answer; is JSONP switched on?'); };
    doc.getElementsByTagName('head')[0].appendChild(script);
    return clear;
  }

  function Encke(options) {
    var o = options || {};
    var c = { state: 'connecting', transport: '', sid: o.sid || '', cursor: o.since || '', rtt: 0, trail: [] };
    var base = (o.url || (root.location ? location.protocol + '//' + location.host : '')).replace(/\/+$/, '');
    var prefix = random();
    var handlers = {}; // names have a $ in front: one may be `constructor`
    var chans = {};
    var seen = {};
    var epoch = c.cursor.split('-')[0];
    var names, at;
    var proven = {};
    var strikes = 0;
    var held = 0;
    var rounds = 0;
    var tries = 0;
    var link = null;
    var timer = 0;
    var serial = 0;
    var queue = [];
    var flying = null;
    var pausing = 0;
    var refs = 0;
    var me = null;
    var asleep = false;
    var ticked = now();
    var undo = [];
    var clock;

    function emit(type, a, b) {
      each(handlers['$' + type], function (act) {
        try { act.call(c, a, b); } catch (e) { setTimeout(function () { throw e; }, 0); }
      });
    }

    function set(state, why) {
      var is = state + (link ? link.name : '');
      c.transport = link ? link.name : '';
      c.state = state;
      if (is !== set.was) emit('state', state, why);
      set.was = is;
    }

    function address(path, more) {
      var q = [], k;
      function add(name, value) {
        if (value || value === 0) q.push(name + '=' + encodeURIComponent(value));
      }
      if (!link.ok) for (k in chans) if (k.charAt(1) !== '@') add('ch', k.slice(1));
      add('since', c.cursor);
      if (!c.cursor) add('last', o.last);
      add('sid', c.sid);
      add('token', o.token);
      add('hb', o.heartbeat);
      if (held) add('pad', PAD);
      for (k in more) add(k, more[k]);
      return base + path + '?' + q.join('&');
    }

    // Silences the link before. What that one still says, the new one says again.
    function connect() {
      var mine = { name: names[at], born: now(), heard: now(), since: c.cursor, proof: PROOF_MS << Math.min(rounds, 3), polled: 0 };
      function own(act) {
        return function (a, b, d) { if (link === mine) return act(a, b, d); };
      }
      drop();
      if (c.state === 'closed' || asleep) return;
      link = mine;
      mine.limit = mine.proof;
      mine.types = o.events || [];
      mine.url = address;
      mine.take = own(take);
      mine.body = own(takeBody);
      mine.end = own(end);
      mine.refused = own(refused);
      mine.renew = own(connect);
      mine.text = own(function (text) {
        var event = parse(text);
        if (event) take(event);
        else end('something in between changes what is sent');
      });
      set('connecting');
      if (link !== mine) return;
      try { mine.stop = open[mine.name](mine); } catch (e) { mine.end(e.message); }
      if (link !== mine && mine.stop) mine.stop();
    }

    function drop() {
      var last = link;
      clearTimeout(timer);
      timer = 0;
      link = null;
      serial++;
      if (flying && flying.over) flying = null; // arrived or not, the next link sends it
      if (last) {
        last.dead = true;
        if (last.stop) last.stop();
      }
    }

    function later(ms) {
      clearTimeout(timer);
      timer = setTimeout(connect, ms);
    }

    function backoff() {
      return Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * Math.pow(2, tries++));
    }

    function note(name, lived, why) {
      var entry = { transport: name, lived: lived, why: why, left: false };
      c.trail.push(entry);
      if (c.trail.length > TRAIL_MAX) c.trail.shift();
      emit('trail', entry);
      return entry;
    }

    // `retry`: the server said when. `how`: refused or starved.
    function end(why, retry, how) {
      var was = link, lived = now() - was.born, mine;
      var entry = note(was.name, lived, why || (was.ok ? 'cut' : 'did not open'));
      drop();
      mine = serial;
      set('retrying', entry.why);
      if (mine !== serial) return;
      if (was.ok && (retry || lived >= YOUNG_MS)) {
        proven[was.name] = 1;
        tries = strikes = rounds = 0;
      }
      if (retry) return later(retry);
      if (names.length < 2 || (was.ok && lived >= YOUNG_MS)) return later(backoff());
      if (how === 'refused') return leave(entry);
      reach(function (reached) {
        if (mine !== serial) return;
        if (!reached) entry.why += '; the server is out of reach';
        else if (++strikes >= (proven[was.name] ? 3 : was.ok ? 2 : 1)) {
          if (STREAMS[was.name] && how === 'starved') held++;
          return leave(entry);
        }
        later(backoff());
      });
    }

    // All streams are alike to a proxy that holds them back.
    function leave(entry) {
      entry.left = true;
      strikes = 0;
      while (++at < names.length && held > 1 && STREAMS[names[at]]) note(names[at], 0, 'streams are held back').left = true;
      if (at < names.length) return connect();
      at = held = 0;
      proven = {};
      rounds++;
      later(backoff());
    }

    function reach(done) {
      try {
        request('GET', base + '/healthz', null, PROOF_MS, done);
      } catch (e) { done(0); }
    }

    function refused(status, problem, retry) {
      var p = problem || {};
      if (!status || status === 200) return end();
      if (status === 429 || status >= 500) return end('HTTP ' + status, retry || backoff());
      emit('error', failure(p.code || 'http_' + status, p.detail || 'HTTP status ' + status));
      if (link) end(p.code || 'HTTP ' + status, 0, 'refused');
    }

    function take(event) {
      var type = event.type, ok = true;
      link.heard = now();
      if (type === 'welcome') {
        link.limit = event.heartbeat * 2000 + 1000;
        begin(event.cursor);
        c.cursor = event.cursor;
      } else if (type === 'message' || type === 'presence') {
        c.cursor = event.id;
        ok = fresh(event.ch, event.id);
      } else if (type === 'gap') {
        begin(event.cursor);
        c.cursor = event.cursor;
        ok = fresh(event.ch, event.cursor);
      } else if (type === 'reply') return answer(event);
      if (ok) emit(type, event);
      if (type === 'welcome') prove(event.sid);
      if (type === 'bye' && link) end('bye: ' + event.why, event.retry);
    }

    function takeBody(body) {
      var mine = link, i;
      link.heard = now();
      if (link.ok && body.sid !== c.sid) {
        c.sid = body.sid;
        return connect();
      }
      begin(body.cursor);
      for (i = 0; i < body.events.length && link === mine; i++) take(body.events[i]);
      if (link !== mine) return;
      c.cursor = body.cursor;
      if (!link.ok) prove(body.sid);
    }

    // Another epoch is another log; what is left of the old one is lost.
    function begin(cursor) {
      var e = cursor.split('-')[0], k, gaps = [];
      if (epoch && e !== epoch) {
        c.cursor = e + '-0';
        for (k in chans) {
          seen[k] = [e, 0];
          gaps.push({ type: 'gap', ch: k.slice(1), why: 'restarted', cursor: c.cursor });
        }
      }
      epoch = e;
      each(gaps, function (gap) { emit('gap', gap); });
    }

    function fresh(ch, id) {
      var part = id.split('-'), k = '$' + ch, last = seen[k];
      if (last && last[0] === part[0] && +part[1] <= last[1]) return false;
      seen[k] = [part[0], +part[1]];
      return true;
    }

    // Another sid: the server has forgotten us, and our name.
    function prove(sid) {
      var stranger = sid !== c.sid;
      if (!link) return;
      c.sid = sid;
      link.ok = true;
      // An inbox is its owner's: a server that has forgotten us would refuse a link that names one. So it is
      // asked for when our name is known again.
      for (var k in chans) if (k.charAt(1) === '@') command('subscribe', { ch: k.slice(1), since: link.since }, nothing, true);
      if (stranger && me) command('login', me, function (e) { if (e) emit('error', e); }, true);
      set('live');
      pump();
    }

    function command(op, fields, cb, first) {
      var item = { body: { op: op, ref: ++refs } }, k;
      for (k in fields) item.body[k] = fields[k];
      if (op === 'publish' && !item.body.key) item.body.key = prefix + refs;
      function run(yes, no) {
        item.done = function (reply) {
          if (reply.ok) yes(reply);
          else no(failure(reply.error.code, reply.error.message));
        };
        if (c.state === 'closed') return item.done(CLOSED);
        if (first) queue.unshift(item);
        else queue.push(item);
        pump();
      }
      if (!cb && root.Promise) return new Promise(run);
      cb = cb || nothing;
      run(function (reply) { cb(null, reply); }, cb);
    }

    // One at a time: what is sent again is not overtaken.
    function pump() {
      var item = queue[0], body;
      if (flying || pausing || !item || !link || !link.ok) return;
      flying = item;
      body = item.body;
      if (body.op === 'subscribe') chans['$' + body.ch] = 1;
      if (body.op === 'unsubscribe') forget(body.ch);
      item.at = now();
      item.over = !!link.say;
      if (!item.over) return post(item);
      try { link.say(body); } catch (e) { flying = null; }
    }

    function post(item) {
      var text = JSON.stringify(item.body);
      request('POST', base + '/send?sid=' + encodeURIComponent(c.sid), text, REPLY_MS, function (status, said, retry) {
        if (flying === item) flying = null;
        if (c.state === 'closed') return;
        said = said || {};
        if (said.type === 'reply') return answer(said);
        if (status === 410 && (item.lost = (item.lost || 0) + 1) < 5) return connect(); // as somebody new
        if (status >= 400 && status < 500 && status !== 429) {
          return answer({ ref: item.body.ref, ok: false, error: { code: said.code, message: said.detail || 'HTTP ' + status } });
        }
        pause(retry || BACKOFF_MS + Math.random() * BACKOFF_MS);
      });
    }

    function pause(ms) {
      clearTimeout(pausing);
      pausing = setTimeout(function () { pausing = 0; pump(); }, ms);
    }

    function answer(reply) {
      var i = 0, item;
      while (i < queue.length && queue[i].body.ref !== reply.ref) i++;
      item = queue[i];
      if (!item) return;
      if (flying === item) flying = null;
      if (!reply.ok && reply.error.retry) return pause(reply.error.retry);
      queue.splice(i, 1);
      c.rtt = now() - item.at;
      if (item.body.op === 'login' && reply.ok) {
        me = {};
        for (i in item.body) if (i !== 'op' && i !== 'ref') me[i] = item.body[i];
        if (reply.secret) me.secret = reply.secret;
      }
      if (item.body.op === 'subscribe') {
        if (!reply.ok) forget(item.body.ch);
        // Its replay may yet be cut off.
        else if (reply.cursor && +reply.cursor.split('-')[1] < +c.cursor.split('-')[1]) c.cursor = reply.cursor;
        if (reply.gap && fresh(reply.gap.ch, reply.gap.cursor)) emit('gap', reply.gap);
      }
      item.done(reply);
      pump();
    }

    function forget(ch) {
      delete chans['$' + ch];
      delete seen['$' + ch];
    }

    function tick() {
      var t = now(), silent = link ? t - link.heard : 0, slept = t - ticked > SLEPT_MS;
      ticked = t;
      if (slept) wake();
      if (link && silent > link.limit) {
        if (link.ok) end('silent for ' + silent + ' ms');
        else end('no event in ' + link.limit + ' ms', 0, 'starved');
      } else if (link && flying && flying.over && t - flying.at > REPLY_MS) end('a command was not answered');
    }

    // Timers stand still in sleep; a link that missed a beat is not waited for.
    function wake() {
      if (timer) connect();
      else if (link && link.ok && now() - link.heard > link.limit / 2 + 1000) {
        note(link.name, now() - link.born, 'slept');
        connect();
      }
    }

    function hide() {
      var all = [];
      each(queue.slice(0, 100), function (item) { if (item.body.op === 'publish') all.push(item.body); });
      if (all.length && c.sid && root.navigator && navigator.sendBeacon) {
        navigator.sendBeacon(base + '/send?sid=' + encodeURIComponent(c.sid), JSON.stringify(all));
      }
      asleep = true;
      drop();
    }

    function listen(to, type, act) {
      if (!to || !to.addEventListener) return;
      to.addEventListener(type, act, false);
      undo.push(function () { to.removeEventListener(type, act, false); });
    }

    listen(root, 'online', function () {
      // Another network: nothing is proved.
      if (link) note(link.name, now() - link.born, 'the network changed');
      restart();
    });
    listen(doc, 'visibilitychange', function () { if (!doc.hidden) wake(); });
    listen(root, 'pagehide', hide);
    listen(root, 'pageshow', function () {
      if (asleep) {
        asleep = false;
        connect();
      }
    });

    function restart() {
      at = strikes = held = rounds = tries = 0;
      proven = {};
      connect();
    }

    c.on = function (type, act) {
      handlers['$' + type] = (handlers['$' + type] || []).concat(act);
      return c;
    };

    c.off = function (type, act) {
      var left = [];
      each(handlers['$' + type], function (one) { if (act && one !== act) left.push(one); });
      handlers['$' + type] = left;
      return c;
    };

    c.publish = function (ch, data, cb) {
      return command('publish', { ch: ch, data: data === undefined ? null : data }, cb);
    };
    c.login = function (who, cb) { return command('login', typeof who === 'string' ? { nick: who } : who, cb); };
    each(['subscribe', 'unsubscribe', 'who', 'history'], function (op) {
      c[op] = function (ch, how, cb) {
        var fields = { ch: ch }, k;
        if (typeof how === 'function') cb = how;
        else for (k in how) fields[k] = how[k];
        return command(op, fields, cb);
      };
    });
    c.command = command;

    c.use = function (list) {
      names = [];
      each(typeof list === 'string' ? [list] : list || ORDER, function (name) {
        if (open[name] && (NEEDS[name] ? root[NEEDS[name]] : doc)) names.push(name);
        else note(name, 0, 'not in this browser').left = true;
      });
      if (!names.length) throw new Error('encke: none of these transports is in this browser');
      restart();
      return c;
    };

    c.close = function () {
      var left = queue;
      if (c.state === 'closed') return;
      queue = [];
      drop();
      clearInterval(clock);
      clearTimeout(pausing);
      each(undo, function (act) { act(); });
      set('closed');
      each(left, function (item) { item.done(CLOSED); });
    };

    each(o.channels, function (ch) { chans['$' + ch] = 1; });
    clock = setInterval(tick, TICK_MS);
    c.use(o.transports);
    return c;
  }

  var CLOSED = { ok: false, error: { code: 'closed', message: 'The client was closed.' } };

  function failure(code, message) {
    var e = new Error(message || code);
    e.code = code;
    return e;
  }

  function random() {
    var words = root.crypto && crypto.getRandomValues ? crypto.getRandomValues(new Uint32Array(4)) : [Math.random() * 1e16];
    return [].slice.call(words).join('.') + '-' + now() + '-';
  }

  Encke.transports = ORDER;
  if (typeof module === 'object' && module.exports) module.exports = Encke;
  else root.Encke = Encke;
})(typeof self === 'undefined' ? this : self);
