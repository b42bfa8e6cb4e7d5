/// A print shop.
#[service]
pub trait Shop {
    /// Prints to the end, whoever goes away.
    #[rpc(no_cancel)]
    fn print(&self, pages: u32) -> Result<(), CallError>;
    /// Asked about every half minute.
    #[rpc(expires = "30s", orphan = "reincarnate")]
    fn render(&self) -> Result<u32, CallError>;
    #[rpc(at_least_once, orphan = "gentle")]
    fn search(&self) -> Result<u32, CallError>;
    #[rpc(orphan = "expire", ack = "stop_and_wait")]
    fn look_up(&self) -> Result<u32, CallError>;
    #[rpc(orphan = "exterminate")]
    fn bind(&self) -> Result<u32, CallError>;
}
