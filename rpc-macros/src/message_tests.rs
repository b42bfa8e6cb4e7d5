//! What each mistake is told: the exact text, and all mistakes of a trait at once.

use proc_macro2::TokenStream;

/// The messages of `#[service(options)] item`, in order.
fn messages(options: &str, item: &str) -> Vec<String> {
    let options: TokenStream = options.parse().expect("tokens");
    let item: TokenStream = item.parse().expect("tokens");
    let expanded: syn::File = syn::parse2(crate::expand::service(options, item)).expect("items");
    expanded
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Macro(item) if item.mac.path.segments.last()?.ident == "compile_error" => {
                let text: syn::LitStr = item.mac.parse_body().expect("a message");
                Some(text.value())
            }
            _ => None,
        })
        .collect()
}

/// The first line of each message about one method.
fn about(method: &str) -> Vec<String> {
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    messages("", &format!("trait T {{ {method} }}")).into_iter().map(first).collect()
}

#[test]
fn every_mistake_in_a_method_has_its_own_words() {
    let cases = [
        (
            "fn put<T>(&self, x: T) -> R;",
            "a remote method cannot be generic: the server must know the type before the call arrives, so write it out",
        ),
        (
            "fn put(&self, x: impl Serialize) -> R;",
            "a remote parameter needs a concrete type: `impl Trait` cannot be marshalled",
        ),
        ("fn put(&self);", "a remote call can fail, and `put` has no way to say so"),
        (
            "#[rpc(maybe)] fn put(&self) -> R;",
            "a `maybe` call has no reply, so it cannot return anything",
        ),
        (
            "#[rpc(maybe)] fn put(&self, x: &mut u32);",
            "a `maybe` call has no reply, so nothing can come back through `&mut`: use `&`",
        ),
        (
            "fn put(&self) -> Result<&str, E>;",
            "a result crosses address spaces and cannot borrow: return an owned type (`String`, `Vec<T>`, …)",
        ),
        (
            "fn put(self) -> R;",
            "a remote method takes `&self`: the server object is not given away by one call",
        ),
        (
            "fn put(&mut self) -> R;",
            "a remote method takes `&self`: calls run at the same time, so keep mutable state behind a lock",
        ),
        (
            "fn put() -> R;",
            "a remote method takes `&self`: there is no server object to call otherwise",
        ),
        (
            "#[rpc(at_least_onec)] fn put(&self) -> R;",
            "unknown option `at_least_onec`; did you mean `at_least_once`?",
        ),
        (
            "#[rpc(timout = \"2s\")] fn put(&self) -> R;",
            "unknown option `timout`; did you mean `timeout`?",
        ),
        (
            "#[rpc(maybe, at_most_once)] fn put(&self);",
            "a method has one call semantics: it is already `maybe`",
        ),
        (
            "#[rpc(timeout = \"2\")] fn put(&self) -> R;",
            "`2` has no unit: a duration is a number with a unit, such as \"500ms\", \"2s\" or \"1m 30s\" (units: us, ms, s, m, h)",
        ),
        ("#[rpc(timeout = 2)] fn put(&self) -> R;", "`timeout` takes a string: `timeout = \"2s\"`"),
        (
            "#[rpc(timeout = \"2 sec\")] fn put(&self) -> R;",
            "unknown unit `sec`: a duration is a number with a unit, such as \"500ms\", \"2s\" or \"1m 30s\" (units: us, ms, s, m, h)",
        ),
        (
            "#[rpc(timeout = \"0s\")] fn put(&self) -> R;",
            "a call needs time: the duration must be greater than zero",
        ),
        ("#[rpc(timeout)] fn put(&self) -> R;", "`timeout` needs a value: `timeout = \"2s\"`"),
        (
            "#[rpc(maybe, timeout = \"1s\")] fn put(&self);",
            "`timeout` has no meaning for a `maybe` call: nobody waits for it, so leave it out",
        ),
        (
            "fn put(&self, s: &'static str) -> R;",
            "a parameter is borrowed for the call only: leave the lifetime out",
        ),
        (
            "fn put(&self, b: &mut [u8]) -> R;",
            "an in-out parameter must be able to change its length: use `&mut Vec<u8>`",
        ),
        (
            "fn put(&self, s: &mut str) -> R;",
            "an in-out parameter must be able to change its length: use `&mut String`",
        ),
        (
            "fn put(&self, _: u32) -> R;",
            "a remote parameter needs a name: it is part of the interface's description",
        ),
        (
            "fn put(&self, (a, b): (u32, u32)) -> R;",
            "a remote parameter is a plain name: take it apart in the body",
        ),
        (
            "fn put(&self, f: Box<dyn Fn()>) -> R;",
            "a trait object cannot be marshalled: pass data, or the name of a service to call back",
        ),
        (
            "fn put(&self, f: fn(u32)) -> R;",
            "a function cannot be marshalled: pass data, or the name of a service to call back",
        ),
        (
            "fn put(&self, p: *const u8) -> R;",
            "a pointer means nothing in another address space: pass the data, `&T` or `&mut T`",
        ),
        (
            "fn put(&self, a: Arc<String>) -> R;",
            "`Arc` shares memory, and client and server share none: pass the value inside, `&T` or `T`",
        ),
        (
            "fn put(&self, s: &&str) -> R;",
            "a reference to a reference cannot be marshalled: use one `&`",
        ),
        ("fn put(&self, s: Self) -> R;", "`Self` differs between client and server: name the type"),
        (
            "fn put(&self, s: Option<&mut u32>) -> R;",
            "an optional in-out parameter is not supported: use `&mut Option<T>`",
        ),
        (
            "fn start(&self) -> R;",
            "`start` is a method of every client stub: call this one differently, and keep its name on the wire with #[rpc(name = \"start\")]",
        ),
        (
            "#[cfg(test)] fn put(&self) -> R;",
            "an interface is the same in every build, or client and server disagree: put `cfg` on the whole trait",
        ),
        ("unsafe fn put(&self) -> R;", "a remote method cannot be unsafe: leave `unsafe` out"),
        ("#[rpc(inline, inline)] fn put(&self) -> R;", "`inline` is given twice: keep one"),
        (
            "#[rpc = \"2s\"] fn put(&self) -> R;",
            "write the options in parentheses: #[rpc(at_least_once, timeout = \"2s\")]",
        ),
        (
            "const MAX: u32;",
            "a remote interface holds methods only: a constant does not travel, so put it beside the trait",
        ),
        (
            "fn put(&'static self) -> R;",
            "the server object is borrowed for the call only: leave the lifetime out",
        ),
        ("fn put(self: &Self) -> R;", "a remote method takes `&self`: write it so"),
        (
            "fn put(&self, mut x: u32) -> R;",
            "a remote parameter is a plain name: leave `mut` out here, and write it where the method is implemented",
        ),
        (
            "fn put(&self, x: Vec<&mut u32>) -> R;",
            "only a whole parameter comes back: write `&mut` in front of its type, not inside",
        ),
        (
            "fn put(&self, x: &mut Vec<&str>) -> R;",
            "what comes back through `&mut` is made anew and cannot borrow: use an owned type (`String`, `Vec<T>`, …)",
        ),
        (
            "fn put(&self, x: &mut Order<'_>) -> R;",
            "what comes back through `&mut` is made anew and cannot borrow: use an owned type (`String`, `Vec<T>`, …)",
        ),
        (
            "fn put(&self, #[rpc(keys)] x: u32) -> R;",
            "a parameter has one option, by which calls of equal values go to one server: `#[rpc(key)]`",
        ),
        (
            "fn put(&self) -> Result<Cow<'_, str>, E>;",
            "a result crosses address spaces and cannot borrow: return an owned type (`String`, `Vec<T>`, …)",
        ),
        (
            "fn put(&self) -> Result<Self, E>;",
            "`Self` differs between client and server: name the type",
        ),
        (
            "fn put(&self) -> Result<Arc<str>, E>;",
            "`Arc` shares memory, and client and server share none: return the value inside, `T`",
        ),
        (
            "fn put(&self) -> Result<*const u8, E>;",
            "a pointer means nothing in another address space: return the data",
        ),
        ("fn put(&self) -> Result<Vec<_>, E>;", "a remote result needs its type written out"),
        (
            "#[rpc(hedge = \"20ms\")] fn put(&self) -> R;",
            "`hedge` makes the call at a second server while the first may still run it, which `at_most_once` forbids",
        ),
        (
            "#[rpc(maybe, hedge = \"20ms\")] fn put(&self);",
            "`hedge` makes the call at a second server while the first may still run it, which `maybe` forbids",
        ),
        (
            "#[rpc(at_least_once, hedge = 20)] fn put(&self) -> R;",
            "`hedge` takes a string: `hedge = \"20ms\"`",
        ),
        (
            "#[rpc(at_least_once, hedge)] fn put(&self) -> R;",
            "`hedge` needs a value: `hedge = \"20ms\"`",
        ),
        (
            "#[rpc(worker, inline)] fn put(&self) -> R;",
            "`inline` and `worker` contradict each other: choose one",
        ),
        (
            "#[rpc(\"maybe\")] fn put(&self) -> R;",
            "an option is a word without quotes, such as `at_least_once`, or `timeout = \"2s\"`",
        ),
        (
            "#[rpc(timeout(\"2s\"))] fn put(&self) -> R;",
            "the value of an option stands behind `=`: `timeout = \"...\"`",
        ),
        (
            "#[rpc(at_least_once inline)] fn put(&self) -> R;",
            "options are separated by commas: put a `,` before this",
        ),
        (
            "#[rpc(inline)] async fn put(&self) -> R;",
            "`inline` and `async` contradict each other: an inline handler runs where calls are received, and must not wait: leave one of them out",
        ),
        ("async fn put(&self);", "a remote call can fail, and `put` has no way to say so"),
        (
            "#[rpc(maybe, expires = \"1s\")] fn put(&self);",
            "`expires` has no meaning for a `maybe` call: nobody waits for it, so nothing cancels it; leave it out",
        ),
        (
            "#[rpc(maybe, no_cancel)] fn put(&self);",
            "`no_cancel` has no meaning for a `maybe` call: nobody waits for it, so nothing cancels it; leave it out",
        ),
        (
            "#[rpc(orphan = \"gentle\", maybe)] fn put(&self);",
            "`orphan` has no meaning for a `maybe` call: nobody waits for it, so nothing cancels it; leave it out",
        ),
        (
            "#[rpc(no_cancel, expires = \"1s\")] fn put(&self) -> R;",
            "`expires` and `no_cancel` contradict each other: what must run to its end cannot expire",
        ),
        (
            "#[rpc(orphan = \"extermine\")] fn put(&self) -> R;",
            "unknown value for `orphan`: `extermine`; did you mean `exterminate`?",
        ),
        (
            "#[rpc(orphan = \"exterminate\", no_cancel)] fn put(&self) -> R;",
            "`orphan = \"exterminate\"` and `no_cancel` contradict each other: what must run to its end cannot be killed",
        ),
        (
            "#[rpc(ack = \"stop_and_weit\")] fn put(&self) -> R;",
            "unknown value for `ack`: `stop_and_weit`; did you mean `stop_and_wait`?",
        ),
        (
            "#[rpc(maybe, ack = \"blast\")] fn put(&self);",
            "`ack` has no meaning for a `maybe` call: nobody acknowledges it; leave it out",
        ),
        ("#[rpc(ack)] fn put(&self) -> R;", "`ack` needs a value: `ack = \"stop_and_wait\"`"),
        ("#[rpc(orphan)] fn put(&self) -> R;", "`orphan` needs a value: `orphan = \"gentle\"`"),
        (
            "#[rpc(orphan = 3)] fn put(&self) -> R;",
            "`orphan` takes a string: `orphan = \"gentle\"`",
        ),
        (
            "#[rpc(expires = \"0s\")] fn put(&self) -> R;",
            "a call needs time: the duration must be greater than zero",
        ),
        (
            "#[rpc(expires = 3)] fn put(&self) -> R;",
            "`expires` takes a string: `expires = \"30s\"`",
        ),
        (
            "#[rpc(no_cancel = true)] fn put(&self) -> R;",
            "`no_cancel` stands alone: leave the value out",
        ),
        ("type Out;", "a remote interface cannot have associated types: write the type out"),
    ];
    for (method, expected) in cases {
        assert_eq!(about(method), [expected], "{method}");
    }
}

#[test]
fn what_is_not_built_yet_is_refused_and_never_ignored() {
    let told = about("#[rpc(broadcast)] fn put(&self) -> R;");
    let start = "`broadcast` is not built yet: ";
    assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
}

#[test]
fn async_methods_beside_exactly_once_are_refused_each_with_a_way_out() {
    let told = messages(
        "",
        "trait T { #[rpc(exactly_once)] async fn pay(&self) -> R; async fn look(&self) -> R; fn quit(&self) -> R; }",
    );
    let ways_out: Vec<_> = told.iter().map(|message| message.lines().last().unwrap()).collect();
    assert_eq!(
        ways_out,
        [
            "leave `async` out of `pay`; its callers can still overlap calls with `start()`",
            "leave `async` out of `look`, or move it to an interface without `exactly_once`",
        ]
    );
}

#[test]
fn mistakes_of_the_trait_itself_are_told_too() {
    let one = |options, item| {
        let told = messages(options, item);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].lines().next().unwrap().to_owned()
    };
    let fine = "trait T { fn put(&self) -> R; }";
    assert_eq!(one("nmae = \"x\"", fine), "unknown option `nmae`; did you mean `name`?");
    assert_eq!(
        one("version = \"1.2.3\"", fine),
        "a version is \"major.minor\", such as \"1.2\"; `1.2.3` is not (a patch number says nothing about an interface)"
    );
    assert_eq!(
        one("", "trait T<A> { fn put(&self) -> R; }"),
        "a remote interface cannot be generic: both sides must agree on one set of types, so write them out"
    );
    assert_eq!(
        one("", "trait Überweisung { fn put(&self) -> R; }"),
        "`Überweisung` is no name on the wire: give one of a-z, 0-9, `.`, `_` and `-` with #[service(name = \"...\")]"
    );
    assert_eq!(one("", "struct T;"), "#[service] belongs on a trait: the trait is the interface");
    assert_eq!(
        one("", "trait T { fn put(&self) -> R; #[rpc(name = \"put\")] fn get(&self) -> R; }"),
        "`put` is already the name of `put` on the wire: give one of them another with #[rpc(name = \"...\")]"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = about("#[rpc(maybe, timout = \"2s\")] fn put(&mut self, _: &'static str) -> R;");
    assert_eq!(told.len(), 4, "{told:#?}");
}
