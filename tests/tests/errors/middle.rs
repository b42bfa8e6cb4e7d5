//! Somebody between a visitor and a server, who passes datagrams on as long as he likes, and may
//! change what the visitor sends.

use std::sync::atomic::AtomicBool;

use rpc_runtime::address::Address;
use rpc_runtime::driver::{Link, Received};

use super::kinds::own_place;
use super::*;

/// He goes when this is dropped.
pub(crate) struct Middle {
    /// Where a visitor finds him.
    pub(crate) url: String,
    path: Arc<Path>,
}

#[derive(Default)]
struct Path {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    visitor: Mutex<Option<Address>>,
}

impl Middle {
    /// Stands before the server at `url`, and sends it what `alter` makes of each datagram.
    pub(crate) fn before(url: &str, alter: fn(&[u8]) -> Vec<Vec<u8>>) -> Self {
        let place = own_place(url).replace("visitor", "visitor:9");
        let front = here().listen(place_of(&place)).unwrap();
        let (back, server) = here().dial(place_of(url)).unwrap();
        let url = url_of(&*front, &place);
        let path = Arc::<Path>::default();
        let (there, from, to) = (Arc::clone(&path), Arc::clone(&front), Arc::clone(&back));
        let go = move || {
            there.pass(&*from, |sender, datagram| {
                *there.visitor.lock().unwrap() = Some(sender);
                for datagram in alter(datagram) {
                    to.send(server, &datagram);
                }
            });
        };
        here().spawn("there", Box::new(go)).unwrap();
        let home = Arc::clone(&path);
        let come = move || {
            home.pass(&*back, |_, datagram| {
                if let Some(visitor) = *home.visitor.lock().unwrap() {
                    front.send(visitor, datagram);
                }
            });
        };
        here().spawn("back", Box::new(come)).unwrap();
        Self { url, path }
    }

    /// Whether he keeps all that comes to himself.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.path.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.path.is_over.store(true, Ordering::SeqCst);
    }
}

impl Path {
    fn pass(&self, from: &dyn Link, mut on: impl FnMut(Address, &[u8])) {
        let mut buffer = [0; 2_048];
        while !self.is_over.load(Ordering::SeqCst) {
            let soon = here().now() + Duration::from_millis(20);
            if let Received::Datagram { len, from } = from.receive(&mut buffer, Some(soon))
                && !self.is_cut.load(Ordering::SeqCst)
            {
                on(from, &buffer[..len]);
            }
        }
    }
}
