//! The formats, and what is none.

use super::*;

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace(state: &str) -> TraceContext {
    TraceContext::parse(TEXT, Some(state)).unwrap()
}

fn bytes_of(trace: &TraceContext) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(usize::from(trace.append(&mut out)), out.len());
    out
}

#[test]
fn the_example_of_the_recommendation_reads_and_writes_as_it_stands() {
    let trace = trace("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    assert_eq!(trace.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!((trace.span_id(), trace.parent_id()), (0x00f0_67aa_0ba9_02b7, None));
    assert!(trace.is_sampled());
    assert_eq!(trace.traceparent(), TEXT);
    assert_eq!(trace.tracestate(), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
}

#[test]
fn what_is_no_traceparent_is_refused_and_named() {
    let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
    let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
    for (text, error) in [
        ("", TraceError::Form),
        (&TEXT[1..], TraceError::Form),
        (&TEXT.to_uppercase(), TraceError::Form),
        (&TEXT.replace('-', "_"), TraceError::Form),
        (&TEXT.replace("4bf9", "4bg9"), TraceError::Form),
        (&TEXT.replace("4bf9", "+bf9"), TraceError::Form),
        (&format!("{TEXT}-"), TraceError::Form),
        (&format!("{TEXT}-extra"), TraceError::Form),
        (&format!("cc{}.", &TEXT[2..]), TraceError::Form),
        (&format!("ff{}", &TEXT[2..]), TraceError::Version),
        (zero_trace, TraceError::Zero),
        (zero_span, TraceError::Zero),
        (&"0".repeat(1 << 20), TraceError::Form),
        (&"é".repeat(40), TraceError::Form),
    ] {
        assert_eq!(TraceContext::parse(text, None), Err(error), "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn a_later_version_is_read_as_far_as_this_one_goes_and_unknown_flags_are_not_passed_on() {
    for text in [format!("cc{}", &TEXT[2..]), format!("cc{}-what-comes", &TEXT[2..])] {
        assert_eq!(TraceContext::parse(&text, None).unwrap().traceparent(), TEXT);
    }
    let flags = TEXT.replace("-01", "-ff");
    assert_eq!(TraceContext::parse(&flags, None).unwrap().traceparent(), TEXT);
    let unsampled = TraceContext::parse(&TEXT.replace("-01", "-fe"), None).unwrap();
    assert!(unsampled.traceparent().ends_with("-00") && !unsampled.is_sampled());
}

#[test]
fn a_tracestate_that_is_none_is_left_out_and_the_trace_goes_on() {
    let many: String = (0..33).map(|key| format!("k{key}=v,")).collect();
    for bad in [
        "novalue",
        "=value",
        "Key=value",
        "key=a=b",
        "key=",
        "key=\u{7f}",
        "key=é",
        "key=a\n",
        "a=1,a=2",
        ", ,",
        &format!("key={}", "v".repeat(257)),
        &format!("key={},b={}", "v".repeat(250), "w".repeat(260)),
        &"k".repeat(600),
        &many,
    ] {
        assert_eq!(trace(bad).tracestate(), "", "{bad}");
        assert_eq!(trace(bad).traceparent(), TEXT);
    }
    for good in ["a=1", "a=1, b=2", "a=1,,b=2", "fw529a3039@dt=FfAAAA", "0a/b*_-=! x"] {
        assert_eq!(trace(good).tracestate(), good);
    }
}

#[test]
fn the_bytes_of_the_extensions_are_those_of_the_document() {
    let parent = "028019004bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701";
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&bytes_of(&trace(""))), parent);
    assert_eq!(hex(&bytes_of(&trace("a=1"))), format!("03800300613d31{parent}"));
}

#[test]
fn what_was_written_is_read_and_the_state_can_be_left_out() {
    for state in ["", "a=1", &format!("key={}", "v".repeat(256))] {
        let bytes = bytes_of(&trace(state));
        assert_eq!(TraceContext::read(&bytes), Some(trace(state)));
        let len = u16::try_from(bytes.len()).unwrap();
        let without = &bytes[usize::from(TraceContext::dispensable(len))..];
        assert_eq!(TraceContext::read(without), Some(trace("")));
    }
}

#[test]
fn extensions_of_others_are_skipped_and_hostile_ones_are_none() {
    let whole = bytes_of(&trace("a=1"));
    let with_others = [&[9, 0x80, 1, 0, 7][..], &whole, &[10, 0x80, 0, 0]].concat();
    assert_eq!(TraceContext::read(&with_others), Some(trace("a=1")));
    assert_eq!(TraceContext::read(&[]), None);
    for cut in 0..whole.len() {
        assert_eq!(TraceContext::read(&whole[..cut]), None, "{cut} bytes");
    }
    let short = [2, 0x80, 24, 0].into_iter().chain([7; 24]).collect::<Vec<u8>>();
    let long = [2, 0x80, 26, 0].into_iter().chain([7; 26]).collect::<Vec<u8>>();
    let zero = [2, 0x80, 25, 0].into_iter().chain([0; 25]).collect::<Vec<u8>>();
    for bad in [short, long, zero] {
        assert_eq!(TraceContext::read(&bad), None);
    }
    let not_text = [&[3, 0x80, 1, 0, 0xff][..], &bytes_of(&trace(""))].concat();
    assert_eq!(TraceContext::read(&not_text), Some(trace("")));
}

#[test]
fn a_child_is_of_the_same_trace_and_knows_its_parent() {
    let parent = trace("a=1");
    let child = parent.child(7);
    assert_eq!((child.trace_id(), child.tracestate()), (parent.trace_id(), "a=1"));
    assert_eq!((child.span_id(), child.parent_id()), (7, Some(parent.span_id())));
    assert_eq!(TraceContext::new(0, 1, true), None);
    assert_eq!(TraceContext::new(1, 0, true), None);
}
