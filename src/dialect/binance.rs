//! SKELETON.
use super::{Dialect, Hello, Opening, Outcome, Rejected, Request, RequestId};

/// SKELETON.
#[derive(Debug)]
pub struct Binance;

impl Dialect for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn open(&self, _path: &str, _query: Option<&str>) -> Option<Result<Opening, String>> {
        todo!()
    }

    fn greet(&self, _hello: &Hello<'_>, _out: &mut Vec<u8>) {
        todo!()
    }

    fn read(&self, _message: &[u8]) -> Result<Request, Rejected> {
        todo!()
    }

    fn answer(&self, _id: &RequestId, _outcome: &Outcome<'_>, _out: &mut Vec<u8>) {
        todo!()
    }
}
