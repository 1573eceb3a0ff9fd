/* Encke: live messages over whatever transport the browser and its network let through.
 *
 *   var c = Encke({ channels: ['lobby'] });
 *   c.on('message', function (m) { ... m.ch, m.data ... });
 *   c.publish('lobby', 'hello');
 *
 * This is the form to be read; /encke.js is the same without the words, made from it. Types and how to use
 * it: encke.d.ts. Syntax of ES5 and nothing that a browser with XMLHttpRequest lacks, unless asked for first.
 *
 *      page          page          page            one tab each
 *       │             │             │
 *      desk          desk          desk            what the page asked for and was told      Encke()
 *       └──────── bus ┴─────────────┘
 *                  │
 *               engine                             in the leading tab alone: link, cursor,   Engine()
 *                  │                               queue
 *           link ──┴── POST
 *            │          │
 *      one of nine     /send                       how bytes come down                       open.*
 *
 * Down. A reader's position is one cursor, `<epoch>-<seq>`, on every transport. So a link may be dropped at
 * any moment, and the next one, of any kind, goes on with `since=<cursor>`. The cursor moves only with what
 * the desks were told; a desk knows by its number, channel by channel, what comes twice, and leaves it out;
 * what the server can't make good is told as a `gap`. Another epoch is another log: every channel is told a
 * gap, once.
 *
 * Up. A command stays at its desk until it is answered, and the engine sends one at a time, in order, over
 * the WebSocket or as a POST; if its link ends first, the next link sends it again, and if the leading tab
 * ends first, the next leader does. A publish has a `key`, so that the server makes one message of any number
 * of them, for as long as its log remembers; `wire` says what happens after that. When the page goes away, what
 * is left is handed to the browser's beacon.
 */
(function (root) {
  var PROOF_MS = 5000; // to a link's first event
  var YOUNG_MS = 1500; // too short a life to prove a transport
  var BACKOFF_MS = 500; // doubles; the wait is anything below (full jitter)
  var BACKOFF_MAX_MS = 30000;
  var REPLY_MS = 15000;
  var RETRY_MAX_MS = 30000; // a refusal that would have us wait longer is the page's affair
  var TICK_MS = 500;
  var SLEPT_MS = 10000; // between two ticks; hidden tabs tick once a second
  var QUEUE_MAX = 1000; // commands of one tab that wait for an answer; one more is refused
  var KEY_MS = 240000; // for which the server knows a publish's key whatever happens, and a minute to spare
  var WAIT_S = 25; // of a long poll
  var SHORT_MS = 1000; // between two short ones
  var XHR_MAX = 1e6; // it keeps all that came; begin anew then
  var PAD = 4096; // bytes that make a proxy with a small buffer let go
  var PROBE_MS = 400; // between two parts of /probe
  var CLIMB_MS = 60000; // to the first look at better transports; doubles
  var CLIMB_MAX_MS = 1800000;
  var PING_MS = 25000;
  var TRAIL_MAX = 50;
  var QUIET_MS = 10000; // a leader that says nothing for so long is asked
  var LOST_MS = 5000; // and one that does not answer for so long is deposed
  var LEASE_MS = 5000; // of leadership, where there are no locks
  var SEAT_MS = 180000; // a tab that was not heard of for so long is gone; hidden ones tick once a minute
  var SEATED_MS = 3000; // in which all tabs have told a new leader what they read
  var CONTEND_MS = 1000; // after leadership was lost, until it is asked for again

  var TYPES = ['welcome', 'message', 'presence', 'gap', 'heartbeat', 'bye'];
  var ORDER = ['websocket', 'sse', 'fetch', 'xhr', 'htmlfile', 'iframe', 'longpoll', 'jsonp', 'shortpoll'];
  var STREAMS = { sse: 1, fetch: 1, xhr: 1, htmlfile: 1, iframe: 1 };
  // What each needs of the browser; where nothing is said, XMLHttpRequest.
  var NEEDS = { websocket: 'WebSocket', sse: 'EventSource', fetch: 'AbortController', htmlfile: 'ActiveXObject',
    iframe: 'document', jsonp: 'document' };

  var doc = root.document;
  var has = {}.hasOwnProperty;
  var exposed = 0;

  function nothing() {}
  function each(list, act) { for (var i = 0; list && i < list.length; i++) act(list[i]); }
  function wallTime() { return +new Date(); }
  function parse(text) { try { return JSON.parse(text); } catch (e) { return null; } }
  function later(act, ms) { return setTimeout(act, ms); }

  // Time that passes, in milliseconds: by the browser's own counter, since the computer's clock may be set. Some
  // counters stand still while the computer sleeps; a clock that is far ahead of its counter says that it slept.
  // (So does one that was set ahead. That is taken for sleep too, and costs a new connection.) A browser
  // without a counter has its clock alone: when that goes back, no time has passed.
  var counter = root.performance && performance.now ? performance : 0;
  var counted = 0, clocked = wallTime(), passed = clocked;
  if (counter) counted = counter.now();

  function now() {
    var clock = wallTime(), count = counter && counter.now();
    var byClock = clock - clocked, by = counter ? count - counted : Math.max(byClock, 0);
    counted = count;
    clocked = clock;
    passed += byClock - by > SLEPT_MS ? byClock : by;
    return Math.round(passed);
  }

  // Not what somebody put into Object.prototype.
  function members(set, act) {
    for (var k in set) if (has.call(set, k)) act(k, set[k]);
  }

  // Names of channels and events have a $ in front when they are keys: one may be `constructor`.
  function names(set) {
    var all = [];
    members(set, function (k, is) { if (is) all.push(k.slice(1)); });
    return all;
  }

  function epochOf(cursor) { return cursor.split('-')[0]; }
  function seqOf(cursor) { return +cursor.split('-')[1]; }
  function isBehind(one, other) { return epochOf(one) !== epochOf(other) || seqOf(one) < seqOf(other); }

  function failure(error) {
    var e = new Error(error.message || error.code);
    e.code = error.code;
    e.retry = error.retry;
    return e;
  }

  // Not to be guessed, and not twice in the world: keys, and the names of tabs.
  function random() {
    var words = root.crypto && crypto.getRandomValues ? crypto.getRandomValues(new Uint32Array(4)) : [Math.random(), Math.random()];
    return [].join.call(words, '.') + '-' + wallTime() + '-';
  }

  // ---- requests ----

  function request(method, url, body, ms, done, part) {
    var x = new XMLHttpRequest(), timer = ms && later(finish, ms);
    function finish(status) {
      var act = done, text = status && x.responseText;
      done = part = 0;
      clearTimeout(timer);
      if (!status) x.abort();
      if (act) act(status || 0, parse(text), status && retryMs(x.getResponseHeader('Retry-After')), text);
    }
    x.onreadystatechange = function () {
      try { if (part && x.readyState > 2 && x.status === 200) part(x.responseText); } catch (e) {}
      if (x.readyState === 4) finish(x.status);
    };
    try {
      x.open(method, url, true);
      x.send(body);
    } catch (e) { later(finish, 0); } // an old browser, and another origin
    return function () { done = 0; finish(); };
  }

  // All who were sent away with the same number must not come back together.
  function retryMs(seconds) { return seconds > 0 ? seconds * 1000 * (1 + Math.random() / 2) : 0; }

  // A global function for a script of the server's to call.
  function expose(home, act) {
    var name = 'encke_' + ++exposed;
    home[name] = act;
    return { name: name, retract: function () { home[name] = nothing; } };
  }

  // Takes text as it comes, and gives the link whole lines.
  function liner(link) {
    var rest = '';
    return function (text) {
      var lines = (rest + text).split('\n');
      rest = lines.pop();
      each(lines, function (line) { if (/\S/.test(line)) link.text(line); });
    };
  }

  // ---- transports ----
  // Each opens a link and returns how to stop it. It tells the link what came (`text`, `take`, `body`), that
  // it is over (`end`), that the server refused it (`refused`), or that it should begin anew (`renew`).

  var open = {
    websocket: function (link) {
      var s = new WebSocket(link.url('/ws').replace(/^http/, 'ws'));
      s.onmessage = function (e) { link.text(e.data); };
      s.onclose = function (e) {
        if (e.code === 1009) link.tooLong();
        link.end(e.reason);
      };
      link.say = function (command) { s.send(JSON.stringify(command)); };
      return function () { s.close(); };
    },

    // Only events whose type it was told beforehand are heard.
    sse: function (link) {
      var s = new EventSource(link.url('/sse'));
      link.listen = function (type) {
        s.addEventListener(type, function (e) { if (e.data) link.text(e.data); }); // the source has an `error` of its own
      };
      each(link.types, link.listen);
      s.onerror = function () { link.end(); };
      return function () { s.close(); };
    },

    fetch: function (link) {
      var stop = new AbortController(), decoder = new TextDecoder(), lines = liner(link);
      fetch(link.url('/stream'), { signal: stop.signal }).then(function (r) {
        if (!r.ok) return link.refused(r.status, 0, retryMs(r.headers.get('Retry-After')));
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

    // A document of Internet Explorer's outside the page, so that no window shows that it loads. It lives
    // while it is referred to, and what it holds is freed when garbage is collected.
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
    var stop, timer, polls = 0;
    (function next() {
      var hang = link.ok ? wait : 0, from = now();
      link.hold = -1; // it asks from where the cursor waits
      link.limit = hang * 1000 + link.proof;
      stop = ask(link, { wait: hang }, function (body) {
        link.body(body);
        var quick = hang && (body.events.length || now() - from > SHORT_MS) || !polls++;
        if (!link.dead) timer = later(next, quick ? 0 : SHORT_MS);
      });
    })();
    return function () { clearTimeout(timer); if (stop) stop(); };
  }

  function getBody(link, query, done) {
    return request('GET', link.url('/poll', query), null, 0, function (status, body, retry) {
      if (status === 200 && body && body.events) done(body);
      else link.refused(status, body, retry);
    });
  }

  function scriptBody(link, query, done) {
    var script = doc.createElement('script'), call = expose(root, function (body) { clear(); done(body); });
    function clear() {
      call.retract();
      script.onload = script.onerror = null;
      if (script.parentNode) script.parentNode.removeChild(script);
    }
    query.callback = call.name;
    script.src = link.url('/jsonp', query);
    script.onload = script.onerror = function () { clear(); link.end(); };
    doc.getElementsByTagName('head')[0].appendChild(script);
    return clear;
  }

  // ---- the engine ----
  // One link, one cursor, one queue, for all desks. It says what it has to say with `out`; what may be in
  // that is listed at `hear`, in `Encke`.
  //
  //   connecting --welcome--> live --cut, bye, silence--> retrying --backoff--> connecting
  //
  // Which transport. It has proved itself when an event of the server came over it and it lived for a second
  // and a half. If it ends without that, `/healthz` is asked: if the server can't be reached, no transport is
  // to blame, and the same one is tried again later. If it can, the transport is left for the next of the
  // list: at once if nothing came over it, the second time if something did, the third if it had proved
  // itself before. One that says no more than its welcome starves us, and has not proved itself however long
  // it lived. A stream over HTTP that stays silent may be held back by a proxy: `/probe` sends parts a
  // moment apart, and if all arrive together, also with padding in front, the other streams are passed over.
  //
  // When to come back. As `bye` says, or `Retry-After`; else at any moment (full jitter) of a time that
  // begins at half a second and doubles up to thirty. At once on waking from sleep, which is seen by the
  // clock, and when the network changes. A stream that is silent for two heartbeats and a second is cut.
  //
  // Upward again. While a lesser transport works, better ones are tried beside it, after a minute and then
  // ever more rarely, and soon after the network changed: as a stranger without channels, who has to prove
  // himself as above. Only then the link moves over, by its cursor.

  function Engine(o, base, carry, out) {
    var sid = carry.i, cursor = carry.c, me = carry.m, list = carry.n, trail = carry.g;
    var top = cursor; // the furthest it has been: `cursor` goes back when old messages are told again
    var told = carry.d; // channels to be told of; 2: the server knows, 0: no more
    var seats = {}, heard = {}; // what each desk reads, and when it spoke last
    var types = {}; // of events that somebody listens to
    var at = 0, proven = {}, strikes = 0, held = 0, rounds = 0, tries = 0;
    var link = null, timer = 0, serial = 0, state = 'connecting', reason;
    var queue = [], flying = null, pausing = 0, pauses = 0, refs = 0;
    var writes = false; // the server has answered a POST
    var climbing, climbTimer = 0, climbMs = CLIMB_MS, bare = false;
    var born = now(), pinged = born, over = false;
    var until = 0; // when the server would have us back
    var nameless = null; // why the name that we had is not ours any more

    function snapshot() {
      return { v: state, t: link ? link.name : '', w: reason, i: nameless ? '' : sid, m: me, n: list, g: trail, d: told };
    }

    function set(to, why) {
      state = to;
      reason = why;
      out({ s: snapshot() });
    }

    function address(l, path, more) {
      var q = [];
      function add(name, value) {
        if (value || value === 0) q.push(name + '=' + encodeURIComponent(value));
      }
      if (!l.trial) {
        if (!l.ok) each(names(told), function (ch) { if (!isApart(l, ch)) add('ch', ch); });
        add('since', cursor);
        if (!cursor) add('last', o.last);
      }
      // Empty: who names no channel will subscribe by /send.
      q.push('sid=' + (l.trial ? '' : encodeURIComponent(sid)));
      add('token', o.token);
      add('hb', o.heartbeat);
      if (held) add('pad', PAD);
      members(more, add);
      return base + path + '?' + q.join('&');
    }

    // An inbox is its owner's: a server that has forgotten us would refuse a link that names one, and why can't
    // be seen but of a poll. So it is asked for when our name is known again.
    function isApart(l, ch) { return ch.charAt(0) === '@' && (bare || !/poll|jsonp/.test(l.name)); }

    function launch(l) {
      l.types = names(types);
      l.url = function (path, more) { return address(l, path, more); };
      l.text = function (text) {
        var event = parse(text);
        if (event) l.take(event);
        else l.end('garbled');
      };
      try { l.stop = open[l.name](l); } catch (e) { l.end(e.message); }
      if (l.dead && l.stop) l.stop();
    }

    // Silences the link before. What that one still says, the new one says again.
    function connect() {
      var mine = { name: list[at], born: now(), heard: now(), since: cursor, proof: PROOF_MS << Math.min(rounds, 3), events: 0 };
      var acts = { take: take, body: takeBody, end: end, refused: refused, renew: connect, tooLong: tooLong };
      function own(act) {
        return function (a, b, d) { if (link === mine) return act(a, b, d); };
      }
      drop();
      if (over) return;
      link = mine;
      mine.limit = mine.proof;
      members(acts, function (k, act) { mine[k] = own(act); });
      set('connecting');
      if (link === mine) launch(mine);
    }

    function drop() {
      var last = link;
      clearTimeout(timer);
      timer = 0;
      link = null;
      serial++;
      if (flying && flying.by.say) flying = null; // arrived or not, the next link sends it
      if (last) {
        last.dead = true;
        if (last.stop) last.stop();
      }
    }

    function come(ms) {
      clearTimeout(timer);
      timer = later(connect, ms);
    }

    function backoff(n) { return Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * Math.pow(2, n)); }

    function note(past, why) {
      var entry = { transport: past.name, lived: now() - past.born, why: why, left: false };
      trail.push(entry);
      if (trail.length > TRAIL_MAX) trail.shift();
      out({ t: entry });
      return entry;
    }

    // `retry`: the server said when. `how`: refused, starved, or held back.
    function end(why, retry, how) {
      var last = link, entry = note(last, why || (last.ok ? 'cut' : 'did not open')), mine;
      var good = last.ok && how !== 'starved' && entry.lived >= YOUNG_MS;
      drop();
      mine = serial;
      set('retrying', entry.why);
      if (mine !== serial) return;
      if (good || last.ok && retry) {
        proven[last.name] = 1;
        tries = strikes = rounds = 0;
      }
      if (retry) {
        until = now() + retry;
        return come(retry);
      }
      if (how === 'starved' && STREAMS[last.name]) held++;
      if (list.length < 2 || good) return come(backoff(tries++));
      if (how === 'refused' || how === 'held') return leave(entry);
      reach(function (reached) {
        if (mine !== serial) return;
        if (!reached) entry.why += '; out of reach';
        else if (++strikes >= (proven[last.name] ? 3 : last.ok ? 2 : 1)) return leave(entry);
        come(backoff(tries++));
      });
    }

    // What was on its way would end the next link as well, and that is no fault of the transport.
    function tooLong() {
      var mine = link;
      if (flying) finish(flying, { error: { code: 'message_too_long' } });
      if (link === mine) end('a message was too long', BACKOFF_MS / 2 + backoff(0));
    }

    // All streams are alike to a proxy that holds them back.
    function leave(entry) {
      entry.left = true;
      strikes = 0;
      while (++at < list.length && held > 1 && STREAMS[list[at]]) note({ name: list[at], born: now() }, 'streams are held back').left = true;
      if (at < list.length) return connect();
      at = held = 0;
      proven = {};
      rounds++;
      come(backoff(tries++));
    }

    function reach(done) {
      request('GET', base + '/healthz', null, PROOF_MS, done);
    }

    // Whether a stream over HTTP comes through as it is sent: `done(0)` if it does, 1 with padding in front
    // alone, 2 if not at all; not called when that could not be seen. It comes in three parts, and the last one
    // decides: what holds back only the first bytes, until others follow, brings the first two together.
    function probe(done, padded) {
      var first = 0;
      if (!('onprogress' in new XMLHttpRequest())) return; // it gives nothing before all is there
      request('GET', base + '/probe' + (padded ? '?pad=' + PAD : ''), null, PROOF_MS, function (status, _, __, text) {
        if (status !== 200 || !/3\s*$/.test(text)) return;
        if (now() - first > PROBE_MS / 2) done(padded || 0);
        else if (padded) done(2);
        else probe(done, 1);
      }, function (text) { first = first || /1/.test(text) && now(); });
    }

    function problem(status, said) {
      var is = said || {};
      return { code: is.code || 'http_' + status, message: is.detail };
    }

    function refused(status, said, retry) {
      var mine = link, error = problem(status, said);
      if (!status || status === 200) return end();
      if (error.code === 'not_yours' && !bare) {
        bare = true;
        return connect();
      }
      if (status === 429 || status >= 500) return end(error.code, retry || backoff(tries++));
      out({ x: error });
      if (link === mine) end(error.code, 0, 'refused');
    }

    function take(event) {
      var type = event.type, mine = link, to;
      link.heard = now();
      link.events++;
      if (type === 'reply') return flying && answer(flying, event);
      if (type === 'welcome') {
        link.limit = event.heartbeat * 2000 + 1000;
        resume(event.cursor);
      }
      to = type === 'message' || type === 'presence' ? event.id : type === 'welcome' || type === 'gap' ? event.cursor : '';
      if (to) move(to);
      out({ c: to && cursor, e: event, u: '$' + event.ch in told });
      if (type === 'welcome' && link === mine) prove(event.sid);
      if (type === 'bye' && link === mine) end('bye: ' + event.why, event.retry);
    }

    // From where on the desks are told, since this is what was asked for; or from the beginning of a new log.
    function resume(there) {
      out({ f: cursor && epochOf(cursor) === epochOf(there) ? cursor : there });
    }

    function move(to) {
      if (!(seqOf(to) <= link.hold)) cursor = to;
      if (!top || isBehind(top, to)) top = to;
    }

    function takeBody(body) {
      var mine = link, i;
      link.heard = now();
      if (link.ok && body.sid !== sid) return forgotten();
      if (!link.ok) resume(epochOf(body.cursor) + '-0');
      for (i = 0; i < body.events.length && link === mine; i++) take(body.events[i]);
      if (link !== mine) return;
      if (cursor !== body.cursor) {
        move(body.cursor);
        out({ c: cursor });
      }
      if (!link.ok) prove(body.sid);
    }

    // We begin as somebody new, who names what it reads; not at once, since there may be several servers behind
    // this address, each of which forgets what the others know.
    function forgotten() {
      sid = '';
      if (link) end('forgotten', BACKOFF_MS / 2 + backoff(tries++));
    }

    // Another sid: the server has forgotten us, and our name.
    function prove(id) {
      var stranger = id !== sid;
      sid = id;
      link.ok = true;
      each(names(told), function (ch) {
        told['$' + ch] = 2;
        if (isApart(link, ch) && !o.readOnly) queue.unshift({ body: { op: 'subscribe', ch: ch, since: link.since || cursor } });
      });
      bare = false;
      if (stranger && me) queue.unshift({ body: assign({ op: 'login' }, me) });
      set('live');
      ping();
      schedule();
      pump();
    }

    // -- upward --

    function schedule() {
      if (!at || climbTimer || climbing) return;
      climbTimer = later(climb, climbMs * (1 + Math.random()));
      climbMs = Math.min(Math.max(climbMs * 2, CLIMB_MS), CLIMB_MAX_MS);
    }

    function climb() {
      var i = -1, skips;
      function next() {
        climbing = 0;
        while (++i < at && skips && STREAMS[list[i]]);
        if (i >= at) return schedule();
        climbing = trial(list[i], function (good) {
          if (!good) skips = skips || STREAMS[list[i]]; // they are all alike
          if (!good || i >= at) return next();
          climbing = 0;
          if (link) note(link, list[i] + ' works now').left = true;
          proven[list[i]] = 1;
          at = i;
          strikes = held = tries = 0;
          connect();
        });
      }
      climbTimer = 0;
      next();
    }

    function rest() {
      clearTimeout(climbTimer);
      if (climbing) climbing();
      climbTimer = climbing = 0;
    }

    function trial(name, done) {
      var l = { name: name, proof: PROOF_MS, trial: 1 }, wait = later(stop, PROOF_MS);
      function stop(good) {
        if (l.dead) return;
        l.dead = true;
        clearTimeout(wait);
        if (l.stop) l.stop();
        if (done) done(good === true);
      }
      l.end = l.refused = l.renew = l.tooLong = function () { stop(); };
      l.take = l.body = function (event) {
        if (event.type === 'bye') return stop();
        if (l.ok) return;
        l.ok = true;
        clearTimeout(wait);
        wait = later(function () { stop(true); }, YOUNG_MS);
      };
      launch(l);
      return function () { done = 0; stop(); };
    }

    // -- commands --

    function submit(from, m) {
      var known;
      each(queue, function (item) { known = known || item.n === m.n && item.to === from; });
      if (known) return; // its desk says everything again that was not answered
      queue.push({ to: from, n: m.n, body: m.q, since: m.z, first: now() - m.a });
      pump();
    }

    // One at a time: what is sent again is not overtaken.
    function pump() {
      var item = queue[0], said;
      if (flying || pausing || !item || !link || !link.ok) return;
      flying = item; // before a desk that hears of it says more
      said = prepare(item);
      if (!said) return;
      item.at = now();
      said = wire(item);
      said.ref = ++refs;
      item.by = link;
      if (!link.say) return post(item, said);
      try { link.say(said); } catch (e) { flying = null; }
    }

    // What the server is asked for that command. Nothing, if it is answered here: another desk reads the
    // channel already, and the log is where it is. What the new one wants of before comes from the history,
    // or by going back with the cursor; the other desks know what they have seen.
    function prepare(item) {
      var body = item.body, k = '$' + body.ch, seat = seats[item.to], known = item.to && told[k] > 1, answers, from, back;
      if (body.op === 'subscribe') {
        back = (known || o.readOnly) && body.since && isBehind(body.since, top);
        from = back ? body.since : top;
        if (known || o.readOnly) answers = { ok: true, ch: body.ch, since: from, cursor: from };
        out({ to: item.to, a: k, h: body.last, i: body.since, o: answers && from, b: back });
        if (seat) seat[k] = 1;
        if (!known) told[k] = 1;
      } else if (body.op === 'unsubscribe') {
        if (seat) delete seat[k];
        if (wanted(k) || o.readOnly) answers = { ok: true };
        if (o.readOnly && !wanted(k)) told[k] = 0;
      } else if (body.op === 'publish' && nameless) answers = { error: nameless }; // not under no name, or another one
      if (!answers) return body;
      finish(item, answers);
      if (back) cursor = from;
      if (back || told[k] === 1) connect(); // a reader that says nothing names its channels with a new link
      else pump();
    }

    function wanted(k) {
      var is = false;
      members(seats, function (id, seat) { is = is || seat[k]; });
      return is;
    }

    // What goes to the server. The server knows a publish again, by its key, as long as its message is kept. One
    // that was sent so long ago that the message may have come and gone says since when it is to be looked for,
    // and is refused as `unknown` if the log does not reach back to there.
    function wire(item) {
      var said = assign({}, item.body);
      if (!item.since) {
        item.since = top;
        item.first = now();
        out({ to: item.to, n: item.n, z: top }); // the tab lives longer than its leader
      } else if (said.op === 'publish' && now() - item.first > KEY_MS) said.since = item.since;
      return said;
    }

    function sending() { return base + '/send?sid=' + encodeURIComponent(sid); }

    function post(item, said) {
      request('POST', sending(), JSON.stringify(said), REPLY_MS, function (status, reply, retry) {
        if (flying === item) flying = null;
        if (over) return;
        if (reply && reply.type === 'reply') {
          writes = true;
          return answer(item, reply);
        }
        if (status === 410 && (item.lost = (item.lost || 0) + 1) < 5) return forgotten();
        if (status >= 400 && status < 500 && status !== 429) {
          if (item.once) {
            writes = false;
            out({ x: problem(status, reply) });
          }
          return answer(item, { error: problem(status, reply) });
        }
        if (item.once) finish(item);
        pause(retry || BACKOFF_MS + backoff(pauses++));
      });
    }

    function pause(ms) {
      clearTimeout(pausing);
      pausing = later(function () { pausing = 0; pump(); }, ms);
    }

    function answer(item, reply) {
      var body = item.body, error = !reply.ok && reply.error, k = '$' + body.ch, back;
      if (flying === item) flying = null;
      if (queue.indexOf(item) < 0) return;
      pauses = 0;
      pinged = now();
      if (error && error.retry && error.retry <= RETRY_MAX_MS) return pause(error.retry);
      if (body.op === 'login') {
        if (reply.ok) {
          me = assign({}, body);
          delete me.op;
          if (reply.secret) me.secret = reply.secret;
          nameless = null;
        } else if (!item.to) {
          nameless = error;
          out({ x: error });
        }
      }
      if (body.op === 'unsubscribe') told[k] = 0;
      if (body.op === 'subscribe') {
        told[k] = error ? 0 : 2;
        if (error) delete (seats[item.to] || {})[k];
        // This answer may have overtaken what is under way; that may be newer than what is to be told again, and
        // all of it may yet be cut off. So the cursor waits where it is, until both have come.
        if (reply.cursor) {
          if (seqOf(reply.cursor) < seqOf(cursor)) cursor = reply.cursor;
          item.by.hold = seqOf(reply.head);
          back = link && link !== item.by; // which began where we were
        }
      }
      finish(item, reply, pinged - item.at);
      if (back) connect();
      else pump();
    }

    function finish(item, reply, ms) {
      queue.splice(queue.indexOf(item), 1);
      if (flying === item) flying = null;
      out({ to: item.to, n: item.n, c: cursor, r: reply, k: ms, s: item.body.op === 'login' ? snapshot() : 0 });
    }

    // A page that only reads says nothing over HTTP either: where it was not seen that POST passes, each try might
    // be an error in the console.
    function ping() {
      pinged = now();
      if (o.readOnly || queue.length || !link.say && !writes) return;
      queue.push({ body: { op: 'ping' }, once: 1 });
      pump();
    }

    // -- desks --

    function join(from, chans, behind) {
      var seat = seats[from] = {}, again = false;
      each(chans, function (ch) {
        var k = '$' + ch;
        seat[k] = 1;
        if (!told[k]) told[k] = again = 1;
      });
      if (behind && cursor && isBehind(behind, cursor)) {
        cursor = behind;
        again = 1;
      }
      if (again && link) connect();
      else if (behind) out({ f: cursor });
    }

    function tick() {
      var t = now(), mine = link, silent;
      members(seats, function (id) {
        if (id === carry.tab || !(t - heard[id] > SEAT_MS)) return;
        delete seats[id];
        out({ to: id, q: 1 });
      });
      // What nobody reads any more; after an election once all desks had the time to say what they read.
      each(names(told), function (ch) {
        if (t - born < SEATED_MS || queue.length || wanted('$' + ch)) return;
        queue.push({ body: { op: 'unsubscribe', ch: ch } });
        pump();
      });
      if (!link) return;
      silent = t - link.heard;
      if (silent > link.limit) {
        if (link.ok) end('silent for ' + silent + ' ms', 0, link.events === 1 && 'starved');
        else end('no event in ' + link.limit + ' ms', 0, 'starved');
      } else if (flying && flying.by.say && t - flying.at > REPLY_MS) end('no reply');
      else if (!link.ok && !link.probed && STREAMS[link.name] && t - link.born > TICK_MS) {
        link.probed = 1;
        if (held < 2) probe(function (is) {
          if (link !== mine || link.ok || is <= held) return;
          held = is;
          if (is < 2) connect();
          else if (list.length > 1) end('streams are held back', 0, 'held');
        });
      } else if (link.ok && t - pinged > PING_MS) ping();
    }

    each(TYPES, function (type) { types['$' + type] = 1; });
    seats[carry.tab] = assign({}, carry.own);
    assign(told, carry.own);

    return {
      hear: function (from, m) {
        heard[from] = now();
        if (m.x) return delete seats[from];
        if (m.p) out({ to: from, l: 1, s: snapshot(), f: cursor });
        if (m.j) join(from, m.j, m.b);
        each(m.y, function (type) {
          if (!types['$' + type] && link && link.listen) link.listen(type);
          types['$' + type] = 1;
        });
        if (m.q) submit(from, m);
        if (m.u) {
          list = m.u;
          rest();
          at = strikes = held = rounds = tries = 0;
          proven = {};
          connect();
        }
      },

      start: function () {
        out({ l: 1, s: snapshot(), f: cursor });
        connect();
      },

      tick: tick,

      // Timers stand still in sleep; a link that missed a beat is not waited for. The other tabs slept as well,
      // and had no time to say that they are there.
      wake: function (slept) {
        if (slept) members(heard, function (id) { heard[id] = now(); });
        if (timer && now() >= until) connect();
        else if (link && link.ok && now() - link.heard > link.limit / 2 + 1000) {
          note(link, 'slept');
          connect();
        }
      },

      // The way that worked is tried first, since it worked; then the better ones beside it.
      moved: function () {
        if (link) note(link, 'the network changed');
        tries = strikes = held = rounds = 0;
        rest();
        climbMs = SHORT_MS;
        if (link || now() >= until) connect();
      },

      // Hands what was not answered to the browser, which sends it when the page is gone.
      beacon: function () {
        var all = [];
        each(queue, function (item) { if (item.body.op === 'publish' && all.length < 100) all.push(wire(item)); });
        if (sid && navigator.sendBeacon) {
          while (all.length && !navigator.sendBeacon(sending(), JSON.stringify(all))) all.pop(); // browsers take 64 KiB
        }
      },

      stop: function () {
        over = true;
        drop();
        clearTimeout(pausing);
        rest();
      }
    };
  }

  function assign(to, from) {
    members(from, function (k, is) { to[k] = is; });
    return to;
  }

  // ---- one connection for all tabs ----
  // The tabs of an origin that ask for the same server, token and transports elect a leader, whose engine
  // serves them all; so they are one client to the server, with one sid and one user. A tab that closes, by
  // whatever end, costs nothing: what it was told is known by its desk alone, and a new leader goes on from
  // what its own desk was told. A desk that was told less asks for that to be told again; one that was told
  // more knows what it has seen.

  // All of this may refuse to serve a page, at once or at any later time: a frame in a sandbox, storage that is
  // full or was forbidden. Then `refused` is called, and the tab goes on alone.

  // What one tab says, all others hear, each in the order in which it was said.
  function Bus(name, hear, refused) {
    var key = name + ' bus', b = root.BroadcastChannel && new BroadcastChannel(name);
    function stored(e) { if (e.key === key && e.newValue) hear(parse(e.newValue)); }
    if (b) b.onmessage = function (e) { hear(e.data); };
    else root.addEventListener('storage', stored, false);
    return {
      say: function (m) {
        try {
          if (b) return b.postMessage(m);
          localStorage.setItem(key, JSON.stringify(m));
          localStorage.removeItem(key); // not to be found by others, and the same twice would be no event
        } catch (e) { later(refused, 0); } // whoever speaks here is in the middle of something
      },
      close: function () {
        if (b) b.close();
        else root.removeEventListener('storage', stored, false);
      }
    };
  }

  // A lock is free as soon as its holder is gone. Where there are none (old browsers, and pages that are not
  // secure), the leader renews a lease in the local storage, which is free when it was not renewed for a while.
  // `tick` asks for leadership, keeps it, and can depose who has it.
  function Election(name, tab, won, lost, refused) {
    var turn = 0, free, leads = false, over = false;
    var found, foundAt = 0; // the lease as it was seen first, and when; its age is nobody's clock but ours

    // A request that was overtaken by another lets go at once when its turn comes.
    function contend(steals) {
      var mine = ++turn, granted;
      navigator.locks.request(name, { steal: !!steals }, function () {
        if (mine !== turn) return;
        granted = true;
        return new Promise(function (resolve) { free = resolve; won(); });
      }).then(nothing, function () {
        if (mine !== turn) return;
        if (!granted) return refused();
        lost();
        later(function () { if (mine === turn) contend(); }, CONTEND_MS);
      });
    }

    // Who finds his own word there the next time, though others wrote at the same time, has it.
    function renew(deposes) {
      var lease = localStorage.getItem(name) || '', mine = lease.split(' ')[0] === tab, t = now(), mark;
      if (lease !== found) {
        // One that a browser left behind when it ended is not waited for.
        foundAt = found === undefined && wallTime() - lease.split(' ')[1] > LEASE_MS ? t - LEASE_MS : t;
        found = lease;
      }
      if (lease && !mine && t - foundAt < LEASE_MS && !deposes) {
        if (leads) lost();
        leads = false;
        return;
      }
      found = mark = tab + ' ' + wallTime() + ' ' + ++turn;
      localStorage.setItem(name, mark);
      if (localStorage.getItem(name) !== mark) return refused(); // it keeps nothing
      if (!mine) later(tick, 50);
      else if (!leads) {
        leads = true;
        won();
      }
    }

    function tick(deposes) {
      if (over) return;
      try {
        if (!navigator.locks) renew(deposes === true);
        else if (!turn || deposes === true) contend(deposes);
      } catch (e) { refused(); }
    }

    function freed(e) { if (e.key === name && !e.newValue) tick(); } // resigned
    if (!navigator.locks) root.addEventListener('storage', freed, false);
    return {
      tick: tick,
      resign: function () {
        over = true;
        turn++;
        if (free) free();
        root.removeEventListener('storage', freed, false);
        try { if (leads) localStorage.removeItem(name); } catch (e) {}
      }
    };
  }

  // ---- the desk ----

  function Encke(options) {
    var o = options || {};
    var c = { state: 'connecting', transport: '', sid: o.sid || '', cursor: o.since || '', rtt: 0, trail: [] };
    var base = (o.url || location.protocol + '//' + location.host).replace(/^ws/, 'http').replace(/\/*([?#].*)?$/, '');
    var tab = random(), count = 0;
    var handlers = {};
    var chans = {}; // what the page reads
    var seen = {}; // the latest it was told of each
    var hold = {}; // what came of a channel before its past did
    var wish = o.channels; // not asked for yet
    var epoch = epochOf(c.cursor);
    var waiting = []; // commands without an answer
    var deaf = false; // what is told now is not what comes next for us
    var engine = null, bus = null, election = null;
    var shares = o.share !== false, leader = '', heard = 0, asked = 0, joined = 0, deposed = 0;
    var carry = { i: c.sid, d: {}, g: c.trail }; // the last snapshot: what a leader goes on from
    var was = 'connecting', asleep = false, ticked = now(), clock;
    var name = ['encke2', base, o.token, o.transports, o.heartbeat, o.readOnly].join(' ');

    // What the page throws is the page's affair, and ends nothing here.
    function call(act, a, b) {
      try { act.call(c, a, b); } catch (e) { later(function () { throw e; }, 0); }
    }

    function emit(type, a, b) {
      each(handlers['$' + type], function (act) { call(act, a, b); });
    }

    // What an engine says. Every desk hears all of it, in order; each takes what is for it.
    //   s  how things stand: v state, t transport, w why, i sid, m who we are, n transports, g trail,
    //      d channels         t  an entry of the trail        x  an error that nobody waits for
    //   f  from this cursor on everything is told             l  I lead
    //   c  the cursor, after   e  this event   u  of a channel that desks have asked for
    //   to, a  desk `to` reads channel `a` from here on, o: after this cursor, h: and so many before it
    //   to, n, r  the reply to command n of desk `to`        k  round trip in milliseconds
    //   to, n, z  command n of desk `to` is sent for the first time, when the log's last known cursor is this
    //   to, q  desk `to` was not heard of for long: nothing is told on its account any more
    function hear(m) {
      var s = m.s;
      if (s) {
        carry = s;
        c.sid = s.i;
        c.trail = s.g;
        c.transport = s.t;
        c.state = s.v;
        if (s.v + s.t !== was) {
          was = s.v + s.t;
          emit('state', s.v, s.w);
        }
      }
      if (m.k >= 0) emit('rtt', c.rtt = m.k);
      if (m.t) emit('trail', m.t);
      if (m.x) emit('error', failure(m.x));
      if (m.f) {
        begin(m.f);
        deaf = !!(c.cursor && names(chans).length && isBehind(c.cursor, m.f));
        if (!o.last) members(chans, function (k) { if (!seen[k] && !hold[k]) seen[k] = m.f; });
        if (deaf && !m.l) join();
      }
      if (m.to === tab && m.a) attach(m.a, m.o, m.h, m);
      if (!(m.c && deaf)) {
        if (m.c) {
          begin(m.c);
          c.cursor = m.c;
        }
        if (m.e) take(m.e, m.c, m.u);
      }
      if (m.to !== tab) return;
      if (m.q) {
        deaf = true;
        join();
      }
      if (m.z) each(waiting, function (item) {
        if (item.n !== m.n) return;
        item.since = m.z;
        item.first = now();
      });
      if (m.r) answered(m.n, m.r);
    }

    function take(event, isKept, isKnown) {
      var k = '$' + event.ch;
      if (event.ch) {
        if (!chans[k] && isKnown) return; // another tab's
        if (isKept) {
          if (hold[k]) return hold[k].push(event);
          if (!fresh(k, event.id || event.cursor)) return;
        }
      }
      emit(event.type, event);
    }

    // Another epoch is another log; what is left of the old one is lost.
    function begin(cursor) {
      var e = epochOf(cursor), is = epoch;
      epoch = e;
      if (is && e !== is) {
        c.cursor = e += '-0';
        each(names(chans), function (ch) {
          if (fresh('$' + ch, e)) emit('gap', { type: 'gap', ch: ch, why: 'restarted', cursor: e });
        });
      }
    }

    function fresh(k, id) {
      if (seen[k] && !isBehind(seen[k], id)) return false;
      seen[k] = id;
      return true;
    }

    // What the desk asked for of before comes first, and what comes meanwhile waits for that: for the reply,
    // if the server was asked; for the history, if it tells the channel already, for other desks.
    function attach(k, cursor, past, how) {
      if (!chans[k]) {
        chans[k] = 1;
        seen[k] = past ? '' : cursor;
      }
      if (how.b) { // the cursor goes back, and all of it is told again
        delete hold[k];
        seen[k] = cursor;
      } else if (past || how.i) {
        hold[k] = hold[k] || [];
        if (cursor && !past) release(k, []);
        if (!cursor || !past || hold[k].asked) return;
        hold[k].asked = 1;
        command('history', { ch: k.slice(1), limit: past, before: epochOf(cursor) + '-' + (seqOf(cursor) + 1) }, function (e, reply) {
          release(k, e ? [] : reply.messages);
        });
      }
    }

    function release(k, past) {
      var all = hold[k] && past.concat(hold[k]);
      delete hold[k];
      each(all, function (event) { take(event, 1); });
    }

    function answered(n, reply) {
      var i = 0, item, body, k;
      while (i < waiting.length && waiting[i].n !== n) i++;
      item = waiting[i];
      if (!item) return;
      waiting.splice(i, 1);
      body = item.body;
      k = '$' + body.ch;
      if (body.op === 'subscribe') {
        if (hold[k] && !hold[k].asked) release(k, []);
        if (!reply.ok) forget(k);
        else if (!seen[k] && !hold[k] && !body.last) seen[k] = reply.since;
        if (reply.gap && fresh(k, reply.gap.cursor)) emit('gap', reply.gap);
      }
      item.done(reply);
    }

    function forget(k) {
      delete chans[k];
      delete seen[k];
      delete hold[k];
    }

    // Everything is copied when it is said, as JSON: what the page changes later is not sent, and what can't be
    // sent is found here and not in the leading tab.
    function command(op, fields, cb) {
      var item = { n: tab + ++count }, why;
      try {
        item.body = JSON.parse(JSON.stringify(assign({ op: op }, fields)));
        if (op === 'publish' && !item.body.key) item.body.key = item.n;
      } catch (e) { why = ['bad_data', e.message]; }
      if (waiting.length >= QUEUE_MAX) why = ['queue_full', QUEUE_MAX + ' commands wait already; this one was not taken'];
      if (o.readOnly && !/^(un)?subscribe$/.test(op)) why = ['read_only'];
      if (c.state === 'closed') why = ['closed'];
      function run(yes, no) {
        item.done = function (reply) {
          if (reply.ok) yes(reply);
          else no(failure(reply.error));
        };
        if (why) return item.done({ error: { code: why[0], message: why[1] } });
        if (op === 'unsubscribe') forget('$' + item.body.ch); // nothing of it is told after this call
        waiting.push(item);
        say(item);
      }
      if (!cb && root.Promise) return new Promise(run);
      cb = cb || nothing;
      run(function (reply) { call(cb, null, reply); }, function (error) { call(cb, error); });
    }

    function say(item) {
      tell({ q: item.body, n: item.n, z: item.since, a: now() - item.first });
    }

    // -- the other tabs --

    // What a desk says to the engine.
    //   j  I read these channels, b: and was told up to this cursor alone    y  I listen to these types
    //   q, n  command n, which was first sent when the cursor was z, a milliseconds ago
    //   u  use these transports   p  who leads?   x  I am gone
    function tell(m) {
      if (engine) engine.hear(tab, m);
      else if (bus && (leader || m.p)) bus.say([tab, 'up', m]);
    }

    function out(m) {
      if (bus) bus.say([tab, 'down', m]);
      hear(m);
    }

    function join() {
      joined = now();
      tell({ j: names(chans), y: names(handlers), b: deaf ? c.cursor : '' });
    }

    function ask() {
      var t = now();
      if (t - asked > TICK_MS) {
        asked = t;
        tell({ p: 1 });
      }
    }

    function receive(said) {
      var from = said[0], m = said[2];
      if (asleep) return;
      if (said[1] === 'up') return engine && engine.hear(from, m);
      if (engine) return;
      if (from !== leader) {
        if (!m.l) return ask();
        leader = from;
      }
      heard = now();
      if (m.l && m.to && m.to !== tab) return;
      hear(m);
      if (m.l) follow();
    }

    // What was said before is said again: the leader before may not have heard it.
    function again() {
      each(waiting, say);
    }

    function follow() {
      var first = wish;
      wish = [];
      join();
      again();
      each(first, function (ch) {
        command('subscribe', { ch: ch, since: o.since, last: o.since ? 0 : o.last }, function (e) {
          if (e && e.code !== 'closed') emit('error', e);
        });
      });
    }

    function lead() {
      leader = tab;
      each(wish, function (ch) { chans['$' + ch] = 1; });
      wish = [];
      carry.c = c.cursor;
      carry.own = chans;
      carry.tab = tab;
      engine = Engine(o, base, carry, out);
      engine.hear(tab, { y: names(handlers) });
      again();
      deaf = false;
      engine.start();
    }

    function unseat() {
      engine.stop();
      engine = null;
      leader = '';
      ask();
    }

    function start() {
      asleep = false;
      heard = now();
      if (!shares) return lead();
      try {
        bus = Bus(name, receive, alone);
        election = Election(name, tab, lead, unseat, alone);
        election.tick();
      } catch (e) { alone(); }
      if (shares) ask();
    }

    // The tabs have no way to agree, or have none any more. As a client of its own, since what this one was to the
    // server others may be from now on.
    function alone() {
      if (!shares || asleep) return;
      shares = false;
      end();
      carry = { i: '', d: {}, m: carry.m, n: carry.n, g: carry.g };
      lead();
    }

    function end() {
      var was = [election, bus];
      if (engine) engine.stop();
      else tell({ x: 1 });
      engine = election = bus = null;
      leader = '';
      if (was[0]) was[0].resign();
      if (was[1]) was[1].close();
    }

    // -- the browser --

    function tick() {
      var t = now(), slept = t - ticked > SLEPT_MS, quiet;
      ticked = t;
      if (asleep) return;
      if (slept) {
        heard = t;
        wake(true);
      }
      if (election) election.tick();
      if (engine) return engine.tick();
      if (t - joined > SEAT_MS / 3) join(); // a leader that is busy is never asked, and has to hear of us
      quiet = t - heard;
      if (quiet > QUIET_MS || !leader || waiting.length && quiet > LOST_MS / 2) ask();
      if (quiet > QUIET_MS + LOST_MS && t - deposed > LOST_MS) {
        deposed = t;
        election.tick(true);
      }
    }

    function wake(slept) {
      if (engine) engine.wake(slept);
      else if (!asleep) ask();
    }

    function hide() {
      if (asleep) return;
      if (engine) engine.beacon();
      end();
      asleep = true;
    }

    function listen(to, type, act) {
      if (to && to.addEventListener) to.addEventListener(type, function () { if (c.state !== 'closed') act(); }, false);
    }

    // -- the page --

    c.on = function (type, act) {
      handlers['$' + type] = (handlers['$' + type] || []).concat(act);
      tell({ y: [type] });
      return c;
    };

    c.off = function (type, act) {
      var left = [];
      each(handlers['$' + type], function (one) { if (act && one !== act) left.push(one); });
      handlers['$' + type] = left;
      return c;
    };

    c.command = command;
    c.publish = function (ch, data, cb) {
      return command('publish', { ch: ch, data: data === undefined ? null : data }, cb);
    };
    c.login = function (who, cb) { return command('login', typeof who === 'string' ? { nick: who } : who, cb); };
    each(['subscribe', 'unsubscribe', 'who', 'history'], function (op) {
      c[op] = function (ch, how, cb) {
        if (typeof how === 'function') {
          cb = how;
          how = 0;
        }
        return command(op, assign({ ch: ch }, how), cb);
      };
    });

    c.use = function (wanted) {
      var list = [];
      each([].concat(wanted || ORDER), function (name) {
        if (has.call(open, name) && root[NEEDS[name] || 'XMLHttpRequest']) list.push(name);
        else c.trail.push({ transport: name, lived: 0, why: 'not in this browser', left: true });
      });
      if (!list.length) throw new Error('no transport');
      carry.n = list;
      tell({ u: list });
      return c;
    };

    c.close = function () {
      var left = waiting;
      if (c.state === 'closed') return;
      waiting = [];
      end();
      asleep = true;
      clearInterval(clock);
      c.transport = '';
      emit('state', c.state = 'closed');
      each(left, function (item) { item.done({ error: { code: 'closed' } }); });
    };

    c.use(o.transports); // throws if there is none; nothing runs yet
    listen(root, 'online', function () { if (engine) engine.moved(); });
    listen(doc, 'visibilitychange', function () { if (!doc.hidden) wake(); });
    listen(root, 'pagehide', hide);
    // The page comes back as it was, from the browser's back-forward cache.
    listen(root, 'pageshow', function () {
      if (!asleep) return;
      start();
    });

    clock = setInterval(tick, TICK_MS);
    start();
    return c;
  }

  Encke.transports = ORDER;
  if (typeof module === 'object' && module.exports) module.exports = Encke;
  else root.Encke = Encke;
})(typeof self === 'undefined' ? this : self);
