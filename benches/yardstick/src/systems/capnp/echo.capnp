# What is called over Cap'n Proto. `echo_capnp.rs` beside it is generated from this.
@0x9b3f6cbd52a7e1d4;

interface Echo {
  null @0 () -> ();
  echo @1 (bytes :Data) -> (bytes :Data);
  sink @2 (bytes :Data) -> (count :UInt64);
  source @3 (count :UInt64) -> (bytes :Data);
}
