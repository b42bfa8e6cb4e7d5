//! Calls nested in calls: each has what is left of its caller's time, less a margin, by clocks that
//! agree on nothing.

use super::*;

#[service(name = "link", version = "1.0")]
trait Link {
    /// What is left of the call's time here and in all links below, in microseconds.
    #[rpc(timeout = "3s")]
    fn left(&self, links: u8) -> Result<Vec<u64>, CallError>;
}

struct Part;

fn name(links: u8) -> String {
    format!("link-{links}")
}

impl Link for Part {
    fn left(&self, links: u8) -> Result<Vec<u64>, CallError> {
        let here = rpc_runtime::current().expect("inside a handler").remaining();
        let mut left = vec![u64::try_from(here.as_micros()).unwrap()];
        if links > 0 {
            let below = LinkClient::connect(&format!("sim://{}", name(links - 1)))?;
            left.extend(below.left(links - 1)?);
        }
        Ok(left)
    }
}

/// Three links, clocks days apart and drifting; gives what the client learned, and when.
fn chain(
    seed: u64,
    latency: Duration,
    last_is_up: bool,
) -> (Result<Vec<u64>, CallError>, Duration) {
    let told = Arc::<Mutex<Option<(Result<Vec<u64>, CallError>, Duration)>>>::default();
    let learned = Arc::clone(&told);
    let simulation = Simulation::new(seed);
    simulation.with(|control| {
        control.net.set_latency(latency);
        for links in 0..3_u8 {
            let host = control.add_host(&name(links));
            control.set_clock(host, Instant::START + ms(86_400_000 * (7 * u64::from(links) + 1)));
            if links == 0 && !last_is_up {
                continue;
            }
            control.spawn(host, "main", false, move || {
                let url = format!("sim://{}", name(links));
                let service = LinkService::new(Part);
                let _running = Server::bind(&url).unwrap().export(service).spawn().unwrap();
                stay();
            });
        }
        let client = control.add_host("client");
        control.set_drift(client, 100);
        control.spawn(client, "main", true, move || {
            let first = LinkClient::connect(&format!("sim://{}", name(2))).unwrap();
            // Opens the sessions, as far as they go: then the way's length is known.
            assert_eq!(first.left(2).is_ok(), last_is_up);
            let started = sim::now();
            let end = first.left(2);
            *learned.lock().unwrap() = Some((end, sim::now().since(started)));
        });
    });
    assert_eq!(simulation.run_until_finished(at(86_400_000 * 100)), Ended::Reached);
    let end = told.lock().unwrap().take();
    end.unwrap()
}

#[test]
fn each_link_has_what_is_left_less_a_hundredth_whatever_the_clocks_say() {
    let (left, _) = chain(1, ms(1), true);
    let left = left.unwrap();
    assert_eq!(left.len(), 3);
    assert!(left[0] <= 3_000_000 && left[0] > 2_950_000, "{left:?}");
    for pair in left.windows(2) {
        assert!(pair[1] <= pair[0] - pair[0] / 100, "{left:?}");
        assert!(pair[1] >= pair[0] - pair[0] / 100 - 10_000, "{left:?}");
    }
}

#[test]
fn where_the_way_is_long_the_margin_is_two_round_trips() {
    let (left, _) = chain(2, ms(100), true);
    let left = left.unwrap();
    for pair in left.windows(2) {
        // 400 ms for two round trips, and 100 ms under way.
        assert!(pair[1] <= pair[0] - 400_000, "{left:?}");
        assert!(pair[1] >= pair[0] - 600_000, "{left:?}");
    }
}

#[test]
fn a_link_that_waits_for_nobody_tells_its_caller_in_time() {
    for latency in [ms(1), ms(50), ms(100)] {
        let (end, took) = chain(3, latency, false);
        let error = end.unwrap_err();
        assert_eq!(error.kind(), rpc_runtime::ErrorKind::HandlerFailed, "not silence: {error}");
        assert_eq!(error.execution(), Execution::Executed);
        assert!(error.to_string().contains("no server answers"), "{error}");
        assert!(took < ms(3_000), "{took:?}");
    }
}
