//! Rules of an engine, read and written over S3: the client underneath knows no such request, and signs its address.

use std::{sync::Arc, time::Duration};

use md5::{Digest as _, Md5};
use object_store::{
    aws::AmazonS3,
    path::Path,
    signer::{Method, SignedUrlOptions, Signer as _},
};
use reqwest::header::{CONTENT_TYPE, HeaderName};

use crate::{
    bucket::{BucketError, Limits},
    s3::S3Bucket,
    s3_error::{refused, translated},
};

/// For a question that somebody waits for who looks after a bucket.
const TOTAL: Duration = Duration::from_secs(20);
/// A thousand rules, which is the most that there can be, are shorter.
const RULES_BYTES_MAX: usize = 4 << 20;

impl S3Bucket {
    /// The rules of the bucket.
    pub(crate) fn read_rules(&self) -> Result<Option<String>, BucketError> {
        match self.rules_request(Method::GET, String::new()) {
            Err(BucketError::NotFound) => Ok(None),
            answer => answer.map(Some),
        }
    }

    pub(crate) fn write_rules(&self, xml: &str) -> Result<(), BucketError> {
        self.rules_request(Method::PUT, xml.to_owned()).map(drop)
    }

    fn rules_request(&self, method: Method, body: String) -> Result<String, BucketError> {
        let limits = Limits { first_byte: TOTAL, stall: TOTAL, total: TOTAL };
        self.nodes.ask(&limits, |node, limits, _| {
            Ok(self.rules_request_of(node, limits.total, method.clone(), body.clone())?)
        })
    }

    fn rules_request_of(
        &self,
        node: &Arc<AmazonS3>,
        total: Duration,
        method: Method,
        body: String,
    ) -> Result<String, BucketError> {
        // Made when it is needed: that takes milliseconds, which no host that starts need wait for.
        let client = reqwest::Client::builder().connect_timeout(self.connect).build();
        let client = client.map_err(|error| BucketError::Unreachable(format!("no client: {error}")))?;
        let store = node.clone();
        let answer = self.in_time(total, async move {
            let options = SignedUrlOptions::new().with_query([("lifecycle", "")]);
            let signed = store.signed_url_opts(method.clone(), &Path::default(), TOTAL, &options).await;
            let address = signed.map_err(|error| translated(&error))?;
            let mut request = client.request(method.clone(), address);
            if method == Method::PUT {
                // What Amazon and others ask for of this request.
                let sum = base64(&Md5::digest(body.as_bytes()));
                request = request.header(HeaderName::from_static("content-md5"), sum);
                request = request.header(CONTENT_TYPE, "application/xml").body(body);
            }
            let answer = request.send().await.map_err(unanswered)?;
            let status = answer.status().as_u16();
            Ok((status, answer.text().await.map_err(unanswered)?))
        });
        let (status, text) = answer?;
        match refused(status, &text) {
            Some(error) => Err(error),
            None if text.len() > RULES_BYTES_MAX => Err(BucketError::TooLong),
            None => Ok(text),
        }
    }
}

/// Without the address, which is signed.
fn unanswered(error: reqwest::Error) -> BucketError {
    if error.is_timeout() {
        return BucketError::TooSlow("no answer in time");
    }
    let what = if error.is_connect() { "no connection" } else { "the answer broke off" };
    BucketError::Unreachable(what.into())
}

/// As RFC 4648 has it, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (bytes, text) in pairs {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
