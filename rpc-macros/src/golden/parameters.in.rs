#[service]
trait Parameters {
    #[rpc(inline, name = "all_forms")]
    fn all(
        &self,
        bytes: &[u8],
        order: &Order,
        orders: &[Order],
        maybe_text: Option<&str>,
        maybe_order: Option<&Order>,
        cow: Cow<'_, str>,
        cow_bytes: Cow<'_, [u8]>,
        owned: Vec<&str>,
        shared: SharedBytes<'_>,
    ) -> Result<(), CallError>;
    fn nothing(&self) -> Result<(), CallError>;
}
