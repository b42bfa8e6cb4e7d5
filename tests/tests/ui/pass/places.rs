//! Where a service may stand, and under which path the library.

use rpc_runtime::CallError;

/// The library under a path of the user's.
pub(crate) mod wire {
    pub(crate) use rpc_runtime::*;
}

/// Seen by this crate only, and so are its stubs.
#[rpc_runtime::service(crate = "self::wire")]
pub(crate) trait Hidden {
    #[rpc]
    #[rpc(at_least_once)]
    #[rpc_runtime::rpc(timeout = "1h 1m 1s 1ms 1us")]
    fn put(&self) -> Result<(), CallError>;
}

#[cfg(not(unix))]
#[rpc_runtime::service]
trait Absent {
    fn put(&self) -> Result<(), CallError>;
}

#[rpc_runtime::service]
trait Empty {}

#[rpc_runtime::service(name = "a.name-of_64", version = "65535.0")]
trait r#Type: Send + Sync {
    fn r#match(&self) -> Result<(), CallError>;
}

#[test]
fn a_service_may_stand_in_a_body_and_at_any_path() {
    #[rpc_runtime::service]
    trait Local {
        fn put(&self) -> Result<(), CallError>;
    }
    let _: [fn(&str); 1] = [|url| {
        let _ = HiddenClient::connect(url).map(|hidden| hidden.put());
        let _ = LocalClient::connect(url).map(|local| local.put());
        let _ = TypeClient::connect(url).map(|object| (&object as &dyn r#Type).r#match());
        let _ = EmptyClient::connect(url).map(|object| size_of_val::<dyn Empty>(&object));
    }];
    let name = |interface: &rpc_runtime::Interface| interface.name().to_owned();
    assert_eq!(name(&HIDDEN_INTERFACE), "hidden");
    assert_eq!(name(&LOCAL_INTERFACE), "local");
    assert_eq!(name(&EMPTY_INTERFACE), "empty");
    assert_eq!(name(&TYPE_INTERFACE), "a.name-of_64");
}
