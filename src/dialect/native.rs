//! SKELETON.
use super::{Dialect, Hello, Opening, Outcome, Rejected, Request, RequestId};

/// SKELETON.
#[derive(Debug)]
pub struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
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
