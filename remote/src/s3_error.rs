//! What an engine's refusal means. The client underneath tells it as text alone, with whatever the engine wrote into its
//! answer: of that only the status and the code are shown, for the rest may hold names of credentials.

use std::error::Error;

use crate::bucket::BucketError;

/// An error of the client underneath.
pub(crate) fn translated(error: &object_store::Error) -> BucketError {
    let text = whole(error);
    meant(status(&text), code(&text), matches!(error, object_store::Error::NotFound { .. }))
        .unwrap_or_else(|| BucketError::Unreachable(kind(&text).into()))
}

fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

/// The first number that is told as a status: what the engine wrote comes behind it.
fn status(text: &str) -> Option<u16> {
    // Amazon's answer about a bucket of another region: no place to go to, and no status in the text.
    if text.contains("redirect without LOCATION") {
        return Some(301);
    }
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What an answer to a question of our own means, if it is no answer to it.
pub(crate) fn refused(status: u16, body: &str) -> Option<BucketError> {
    match (status, code(body)) {
        (200..=299, _) => None,
        (501, _) | (_, "NotImplemented") => Some(BucketError::Unsupported),
        (status, code) => meant(Some(status), code, false),
    }
}

/// The code in the answer's XML.
fn code(text: &str) -> &str {
    let inner = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = inner.map_or("", |(code, _)| code);
    let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { code } else { "" }
}

/// What went wrong where no answer came, in words that name no address.
fn kind(text: &str) -> &'static str {
    let text = text.to_lowercase();
    let kinds = [
        ("dns error", "its name is not known"),
        ("certificate", "its certificate is not accepted"),
        ("connection refused", "it refuses connections"),
        ("tcp connect error", "no connection"),
        ("timed out", "no connection in time"),
        ("error decoding", "the answer broke off"),
        ("body", "the answer broke off"),
    ];
    kinds.iter().find(|(word, _)| text.contains(word)).map_or("it gives no answer", |(_, kind)| kind)
}

fn meant(status: Option<u16>, code: &str, not_found: bool) -> Option<BucketError> {
    let told = |what: &str, status: u16| {
        let code = if code.is_empty() { String::new() } else { format!(" {code}") };
        BucketError::Misconfigured(format!("{what} ({status}{code})"))
    };
    match status {
        _ if code == "NoSuchBucket" => Some(told("there is no such bucket", status.unwrap_or(404))),
        Some(404) => Some(BucketError::NotFound),
        Some(status @ (429 | 503)) => Some(BucketError::SlowDown(status)),
        // Beyond the end of the file: it is shorter than it was.
        Some(416) => Some(BucketError::NotFound),
        Some(status @ (301 | 307 | 400)) => {
            Some(told("the region, the endpoint or the credentials are wrong", status))
        }
        Some(status @ (401 | 403)) => Some(told("the credentials may not do this", status)),
        None if not_found => Some(BucketError::NotFound),
        Some(status) => Some(BucketError::Unreachable(format!("it answers {status}"))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> BucketError {
        translated(&object_store::Error::Generic { store: "S3", source: text.into() })
    }

    #[test]
    fn a_refusal_is_told_by_its_status_and_code_and_by_nothing_else_of_the_answer() {
        let body = "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>GK123</AWSAccessKeyId></Error>";
        let error = of(&format!("Server returned non-2xx status code: 403 Forbidden: {body}"));
        assert!(matches!(error, BucketError::Misconfigured(_)), "{error:?}");
        assert!(error.to_string().contains("InvalidAccessKeyId"), "{error}");
        assert!(!format!("{error:?} {error}").contains("GK123"));
    }

    #[test]
    fn every_status_means_something() {
        let of = |status: u16| of(&format!("Server returned non-2xx status code: {status} : <x>"));
        assert!(matches!(of(404), BucketError::NotFound));
        for status in [429, 503] {
            assert!(matches!(of(status), BucketError::SlowDown(_)), "{status}");
        }
        for status in [301, 400, 401, 403] {
            assert!(matches!(of(status), BucketError::Misconfigured(_)), "{status}");
        }
        for status in [500, 502, 504, 418] {
            assert!(of(status).is_passing(), "{status}");
        }
    }

    #[test]
    fn an_engine_that_has_no_such_thing_is_no_engine_that_fails() {
        let code = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        assert!(refused(200, "").is_none());
        assert!(matches!(refused(501, ""), Some(BucketError::Unsupported)));
        assert!(matches!(refused(400, &code("NotImplemented")), Some(BucketError::Unsupported)));
        assert!(matches!(refused(404, &code("NoSuchLifecycleConfiguration")), Some(BucketError::NotFound)));
        assert!(matches!(refused(404, &code("NoSuchBucket")), Some(BucketError::Misconfigured(_))));
    }

    #[test]
    fn no_bucket_is_no_missing_file() {
        let source = "status code: 404 Not Found: <Code>NoSuchBucket</Code>".into();
        let error = translated(&object_store::Error::NotFound { path: "p".into(), source });
        assert!(matches!(error, BucketError::Misconfigured(_)), "{error:?}");
    }
}
