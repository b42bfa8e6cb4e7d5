//! Golden expansions: what each trait in `golden/` becomes, formatted. `BLESS=1` rewrites them.

use std::fs;
use std::path::Path;

#[test]
fn expansions_are_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).expect("the golden folder") {
        let input = entry.expect("an entry").path();
        let Some(name) = input.to_str().and_then(|name| name.strip_suffix(".in.rs")) else {
            continue;
        };
        let source: syn::File =
            syn::parse_file(&fs::read_to_string(&input).expect("text")).expect("Rust");
        let mut expanded = proc_macro2::TokenStream::new();
        for item in source.items {
            let syn::Item::Trait(mut item) = item else { panic!("golden inputs hold traits") };
            let place =
                item.attrs.iter().position(|attribute| attribute.path().is_ident("service"));
            let attribute = item.attrs.remove(place.expect("#[service]"));
            let options = match attribute.meta {
                syn::Meta::List(list) => list.tokens,
                syn::Meta::Path(_) | syn::Meta::NameValue(_) => proc_macro2::TokenStream::new(),
            };
            expanded.extend(crate::expand::service(options, quote::quote!(#item)));
        }
        let text = prettyplease::unparse(&syn::parse2(expanded).expect("an expansion is Rust"));
        let output = format!("{name}.out.rs");
        #[expect(clippy::disallowed_methods, reason = "blessing is asked for by environment")]
        if std::env::var("BLESS").is_ok() {
            fs::write(&output, &text).expect("written");
        }
        let expected = fs::read_to_string(&output).unwrap_or_default();
        assert!(
            text == expected,
            "{output} differs; if that is meant: BLESS=1 cargo test -p rpc-macros\n{text}"
        );
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} golden inputs");
}
