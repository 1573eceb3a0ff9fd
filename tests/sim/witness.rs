//! An application around another one, which checks what every application may rely on.
//!
//! It knows no protocol and no chat: each client comes once and goes once, nothing is asked of one that has gone,
//! and no callback comes from within another.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use encke::server::{App, ClientId, Command, Ctx, Kept, Message, Object, Refusal, Request, Response};

/// What the application was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    present: BTreeSet<ClientId>,
    seen: BTreeSet<ClientId>,
    busy: Cell<bool>,
}

impl Ledger {
    /// Clients that have come and not gone.
    pub(crate) fn present(&self) -> usize {
        self.present.len()
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Witness<A> {
    inner: A,
    ledger: Rc<RefCell<Ledger>>,
}

impl<A: App> Witness<A> {
    pub(crate) fn new(inner: A, ledger: Rc<RefCell<Ledger>>) -> Witness<A> {
        Witness { inner, ledger }
    }

    fn within<T>(&mut self, client: Option<ClientId>, call: impl FnOnce(&mut A) -> T) -> T {
        let ledger = self.ledger.borrow();
        assert!(!ledger.busy.replace(true), "a callback from within another");
        if let Some(client) = client {
            assert!(ledger.present.contains(&client), "{client:?} is not there and asks for something");
        }
        let answer = call(&mut self.inner);
        ledger.busy.set(false);
        answer
    }
}

impl<A: App> App for Witness<A> {
    /// What is not looked at here is the application's own to answer: what it holds, what it can miss.
    fn base(&mut self) -> Option<&mut dyn App> {
        Some(&mut self.inner)
    }

    fn on_start(&mut self, ctx: &mut Ctx<'_>) {
        self.within(None, |app| app.on_start(ctx));
    }

    fn on_connect(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        assert!(self.ledger.borrow_mut().seen.insert(client), "on_connect twice for {client:?}");
        self.within(None, |app| app.on_connect(ctx, client, request))?;
        self.ledger.borrow_mut().present.insert(client);
        Ok(())
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        self.within(Some(client), |app| app.on_message(ctx, client, message));
    }

    fn on_command(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        command: &Command<'_>,
    ) -> Result<Object, Refusal> {
        self.within(Some(client), |app| app.on_command(ctx, client, command))
    }

    fn on_subscribe(&mut self, ctx: &mut Ctx<'_>, client: ClientId, channel: &str) -> Result<(), Refusal> {
        self.within(Some(client), |app| app.on_subscribe(ctx, client, channel))
    }

    fn on_publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: ClientId,
        channel: &str,
        data: &[u8],
    ) -> Result<(), Refusal> {
        self.within(Some(client), |app| app.on_publish(ctx, client, channel, data))
    }

    fn on_published(&mut self, ctx: &mut Ctx<'_>, client: ClientId, channel: &str, message: &Kept) {
        self.within(Some(client), |app| app.on_published(ctx, client, channel, message));
    }

    fn on_close(&mut self, ctx: &mut Ctx<'_>, client: ClientId) {
        let was = self.ledger.borrow_mut().present.remove(&client);
        assert!(was, "on_close for {client:?}, which isn't there");
        self.within(None, |app| app.on_close(ctx, client));
    }

    fn on_timer(&mut self, ctx: &mut Ctx<'_>, tag: u64) {
        self.within(None, |app| app.on_timer(ctx, tag));
    }

    fn on_request(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        self.within(None, |app| app.on_request(ctx, request))
    }
}
