//! Calls of the strict user: through the network they mean what they mean without it.

#![deny(missing_docs, warnings, rust_2018_idioms, clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::sim::{self, Faults};
use rpc_runtime::{CallError, Error, Options, Semantics};
use rpc_tests_strict::{
    FORMS_INTERFACE, Forms, FormsClient, FormsService, Line, Order, Patient, Plain, SHOP_INTERFACE,
    Shelves, Shop, ShopClient, ShopError, ShopService, WAITS_INTERFACE, Waits, WaitsClient,
    WaitsService,
};

fn line(article: &str, count: u32) -> Line {
    Line { article: article.to_owned(), count }
}

/// What every form of parameter brings back, from a local or a remote object.
fn told(forms: &dyn Forms) -> Result<Vec<String>, CallError> {
    forms.nothing()?;
    let (rice, tea) = (line("rice", 3), line("tea", 1));
    let order = Order { buyer: "ann", label: Cow::Borrowed("fragile") };
    let (text, block) = ("text", [1, 2, 3]);
    let borrowed = forms.borrowed(
        text,
        &block,
        Some(text),
        None,
        vec!["a", "", "ü"],
        Cow::Owned("cow".to_owned()),
        Cow::Borrowed(&block),
        order,
    )?;
    let nested = [("a", vec![]), ("b", vec![9])].map(|(name, bytes)| (name.to_owned(), bytes));
    let nested = BTreeMap::from(nested);
    let both = [rice.clone(), tea.clone()];
    let referred = forms.referred(&rice, &both, Some(&tea), &[7, u64::MAX], &nested, &[1, 2, 3])?;
    let wait = Duration::from_millis(1500);
    let owned = forms.owned(rice.clone(), both.to_vec(), None, (7, "seven".to_owned()), wait)?;
    let (mut lines, mut total, mut note) = (vec![tea], 1, None);
    let count = forms.changed(&mut lines, &both, &mut total, &mut note, "bob")?;
    Ok(vec![borrowed, referred, owned, format!("{count} {lines:?} {total} {note:?}")])
}

/// As [`told`], from an object of the other colour.
async fn told_late(waits: &impl Waits) -> Result<Vec<String>, CallError> {
    waits.knock("ann").await;
    waits.nothing().await?;
    let (rice, tea) = (line("rice", 3), line("tea", 1));
    let order = Order { buyer: "ann", label: Cow::Borrowed("fragile") };
    let (texts, block) = (vec!["a", "", "ü"], [1, 2, 3]);
    let (cow, cow_block) = (Cow::Owned("cow".to_owned()), Cow::Borrowed(&block[..]));
    let text = "text";
    let borrowed = waits.borrowed(text, &block, Some(text), None, texts, cow, cow_block, order);
    let borrowed = borrowed.await?;
    let nested = [("a", vec![]), ("b", vec![9])].map(|(name, bytes)| (name.to_owned(), bytes));
    let nested = BTreeMap::from(nested);
    let both = [rice.clone(), tea.clone()];
    let referred = waits.referred(&rice, &both, Some(&tea), &[7, u64::MAX], &nested, &[1, 2, 3]);
    let referred = referred.await?;
    let wait = Duration::from_millis(1500);
    let owned = waits.owned(rice, both.to_vec(), None, (7, "seven".to_owned()), wait).await?;
    let (mut lines, mut total, mut note) = (vec![tea], 1, None);
    let count = waits.changed(&mut lines, &both, &mut total, &mut note, "bob").await?;
    Ok(vec![borrowed, referred, owned, format!("{count} {lines:?} {total} {note:?}")])
}

#[test]
fn a_client_of_either_colour_calls_a_server_of_either_colour() {
    let methods = |interface: &'static rpc_runtime::Interface| {
        interface
            .methods()
            .iter()
            .map(|method| (method.name(), method.signature(), method.semantics()))
    };
    assert!(methods(&FORMS_INTERFACE).eq(methods(&WAITS_INTERFACE).take(5)));
    let local = told(&Plain).expect("a local object does not fail");
    sim::check(0..20, |world| {
        world.faults(Faults::default().loss(0.2).duplicate(0.2));
        world.server("blocking", || FormsService::new(Plain));
        world.server("async", || WaitsService::new(Patient));
        for (name, server) in [("blocking", "sim://blocking"), ("async", "sim://async")] {
            let (blocking, waiting) = (local.clone(), local.clone());
            let patience = Options::new().timeout(Duration::from_mins(1));
            world.client(&format!("blocking user of {name}"), move || {
                let forms = FormsClient::connect(server).expect("an address").with(patience);
                assert_eq!(told(&forms).expect("an answer"), blocking);
                let late = forms.start().nothing();
                sim::block_on(late).expect("an answer");
            });
            world.client(&format!("waiting user of {name}"), move || {
                let waits = WaitsClient::connect(server).expect("an address").with(patience);
                assert_eq!(sim::block_on(told_late(&waits)).expect("an answer"), waiting);
                waits.start().nothing().wait().expect("an answer");
            });
        }
    });
    assert_eq!(sim_free(told_late(&Patient)), local);
}

/// An object of one's own needs no world: it only lets others go first.
fn sim_free(told: impl Future<Output = Result<Vec<String>, CallError>>) -> Vec<String> {
    let mut told = std::pin::pin!(told);
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(told) = told.as_mut().poll(&mut task) {
            return told.expect("a local object does not fail");
        }
    }
}

#[test]
fn every_form_of_parameter_arrives_as_in_a_local_call() {
    let local = told(&Plain).expect("a local object does not fail");
    assert_eq!(local[3].split(' ').next(), Some("3"));
    sim::check(0..20, |world| {
        world.faults(Faults::default().loss(0.2).duplicate(0.2));
        world.server("forms", || FormsService::new(Plain));
        let local = local.clone();
        world.client("user", move || {
            let forms = FormsClient::connect("sim://forms").expect("an address");
            let patient = forms.with(Options::new().timeout(Duration::from_mins(1)));
            assert_eq!(told(&patient).expect("an answer"), local);
        });
    });
}

#[test]
fn results_errors_and_in_outs_come_back_and_overlapped_calls_mean_the_same() {
    sim::check(0..5, |world| {
        let shelves = Arc::new(Shelves::with(5));
        let over_there = Arc::clone(&shelves);
        world.server("shop", move || ShopService::shared(Arc::clone(&over_there)));
        world.client("user", move || {
            let shop = ShopClient::connect("sim://shop").expect("an address");
            assert_eq!(shop.left("rice").expect("an answer"), 5);
            let refused = shop.take(&line("rice", 6)).expect_err("only five");
            assert!(matches!(refused, Error::App(ShopError::SoldOut { left: 5 })), "{refused}");
            let mut wish = 7;
            shop.take_some(&mut wish).expect("some are left");
            assert_eq!(wish, 2);
            let refused = shop.take_some(&mut wish).expect_err("none is left");
            assert!(matches!(refused, Error::App(ShopError::SoldOut { left: 0 })), "{refused}");
            let first = shop.start().put(line("rice", 1));
            let second = shop.start().put(line("rice", 1));
            let mut back = [second.wait(), first.wait()].map(|left| left.expect("an answer"));
            back.sort_unstable();
            assert_eq!(back, [1, 2]);
            let full = shop.put(line("rice", u32::MAX)).expect_err("more than fits");
            assert!(full.to_string().contains("the shelf is full"), "{full}");
            shop.look("ann");
            shop.ring();
            assert_eq!(shop.left("rice").expect("an answer"), 2);
            assert_eq!(shelves.visits(), ["ann", "the bell"]);
        });
    });
}

#[test]
fn the_words_of_the_grammar_stand_in_the_table() {
    assert_eq!((FORMS_INTERFACE.name(), SHOP_INTERFACE.name()), ("forms", "shop"));
    let methods = SHOP_INTERFACE.methods();
    let words = methods.iter().map(|method| (method.name(), method.semantics()));
    let expected = [
        ("left", Semantics::AtLeastOnce),
        ("take", Semantics::AtMostOnce),
        ("put_back", Semantics::AtMostOnce),
        ("take_some", Semantics::AtMostOnce),
        ("look", Semantics::Maybe),
        ("ring", Semantics::Maybe),
    ];
    assert!(words.eq(expected));
}
