//! Where an S3 bucket is: `s3://bucket/prefix?endpoint=https://host:port&region=auto`.
//!
//! Every part is checked, because places of other peers come from the chain: a name is only what
//! names can hold, and an endpoint is a scheme, a host and a port.

use std::fmt;
use std::str::FromStr;

use crate::BucketError;

/// Longest text of a place, in bytes.
const PLACE_BYTES_MAX: usize = 400;

/// A bucket of an S3 service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// Name of the bucket.
    pub(crate) bucket: String,
    /// Folder in the bucket that holds the objects; empty for its top.
    pub(crate) prefix: String,
    /// `http(s)://host[:port]` of the service; `None` for AWS.
    pub(crate) endpoint: Option<String>,
    /// Region to sign for; `auto` where the service has none.
    pub(crate) region: String,
    /// Whether the bucket's name stands in the path instead of the host's name.
    pub(crate) is_path_style: bool,
}

impl S3Place {
    /// Whether the place can only be meant for this machine or its own network: no encryption, or
    /// a host that is an address and not a name.
    pub fn is_local(&self) -> bool {
        let Some(endpoint) = &self.endpoint else { return false };
        let Some(host) = endpoint.strip_prefix("https://") else { return true };
        let name = host.split(':').next().unwrap_or_default();
        let is_address = host.starts_with('[') || name.bytes().all(is_address_byte);
        is_address || name == "localhost" || !name.contains('.')
    }
}

fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

impl FromStr for S3Place {
    type Err = BucketError;

    fn from_str(text: &str) -> Result<Self, BucketError> {
        let refuse = |what: &str| BucketError::Place { what: what.to_string() };
        if text.len() > PLACE_BYTES_MAX {
            return Err(refuse("an S3 place has at most 400 bytes"));
        }
        let rest = text.strip_prefix("s3://").ok_or_else(|| refuse("it starts with s3://"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !is_bucket(bucket) {
            return Err(refuse("a bucket's name has 3 to 63 of a-z, 0-9, '-' and '.'"));
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
            return Err(refuse("a prefix is names of A-Z, a-z, 0-9, '-', '_' and '.', with '/'"));
        }
        let mut place = Self {
            bucket: bucket.to_string(),
            prefix: prefix.to_string(),
            endpoint: None,
            region: String::new(),
            is_path_style: false,
        };
        let mut path_style = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("endpoint", url)) if is_endpoint(url) => place.endpoint = Some(url.into()),
                Some(("endpoint", _)) => {
                    return Err(refuse("an endpoint is http://host:port or https://host:port"));
                }
                Some(("region", region)) if is_region(region) => place.region = region.into(),
                Some(("path_style", "true")) => path_style = Some(true),
                Some(("path_style", "false")) => path_style = Some(false),
                _ => return Err(refuse("it knows endpoint=, region= and path_style=true|false")),
            }
        }
        place.is_path_style = path_style.unwrap_or(place.endpoint.is_some());
        if place.region.is_empty() {
            if place.endpoint.is_none() {
                return Err(refuse("without an endpoint it needs region=, such as us-east-1"));
            }
            place.region = "auto".to_string();
        }
        Ok(place)
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        write!(f, "?region={}", self.region)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, "&endpoint={endpoint}")?;
        }
        if self.is_path_style != self.endpoint.is_some() {
            write!(f, "&path_style={}", self.is_path_style)?;
        }
        Ok(())
    }
}

fn is_bucket(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| known(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(known)
        && !name.contains("..")
}

fn is_segment(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(known) && name != "." && name != ".."
}

fn is_region(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(known)
}

/// A scheme, a host and perhaps a port: no user, path or query that could hide something.
fn is_endpoint(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(host) = host else { return false };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address, port),
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_number = |text: &str| text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    let port_holds = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    let name_holds = match host.starts_with('[') {
        true => name.parse::<std::net::Ipv6Addr>().is_ok(),
        false => {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        }
    };
    port_holds && name_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> S3Place {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_place_reads_back_from_its_text() {
        for text in [
            "s3://cov72-node/run7/a?endpoint=http://127.0.0.1:9000&region=auto&path_style=true",
            "s3://bucket?region=us-east-1",
            "s3://bucket/?region=us-east-1&path_style=true",
            "s3://bucket?endpoint=https://0123abcd.r2.cloudflarestorage.com",
            "s3://bucket?endpoint=https://storage.example.org:8443&path_style=false",
            "s3://bucket?endpoint=http://[::1]:9000",
        ] {
            let place = parse(text);
            assert_eq!(parse(&place.to_string()), place, "{text}");
        }
        assert!(parse("s3://bucket?endpoint=http://127.0.0.1:9000").is_path_style);
        assert!(!parse("s3://bucket?region=us-east-1").is_path_style);
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in [
            "s3://",
            "s3://ab?region=x",
            "s3://bucket",
            "s3://Bucket?region=x",
            "s3://bu..cket?region=x",
            "s3://bucket/../other?region=x",
            "s3://bucket/a//b?region=x",
            "s3://bucket/a%2e?region=x",
            "s3://bucket?endpoint=ftp://host",
            "s3://bucket?endpoint=http://user:secret@host",
            "s3://bucket?endpoint=http://host/path",
            "s3://bucket?endpoint=http://host:99999",
            "s3://bucket?endpoint=http://[::1",
            "s3://bucket?region=x&secret=y",
            "s3://bucket?region=x y",
        ] {
            assert!(text.parse::<S3Place>().is_err(), "{text}");
        }
        assert!(format!("s3://bucket/{}?region=x", "a".repeat(400)).parse::<S3Place>().is_err());
    }

    #[test]
    fn places_of_this_machine_are_told_from_those_of_the_network() {
        for text in ["http://example.org", "https://10.0.0.1", "https://[fe80::1]:1", "https://db"]
        {
            assert!(parse(&format!("s3://bucket?endpoint={text}")).is_local(), "{text}");
        }
        assert!(!parse("s3://bucket?endpoint=https://r2.example.org").is_local());
        assert!(!parse("s3://bucket?region=eu-west-1").is_local());
    }
}
