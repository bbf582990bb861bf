//! The body of `POST /networks/create`, Docker's `NetworkCreateRequest`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::NetError;
use super::wire::ConfigReference;
use crate::control::json::{from_object, nullable, object, objects};

/// A network to be. What is left out or `null` has Docker's default; what Docker does not know is
/// passed over.
// Docker's fields.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreateRequest {
    /// Its name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Without effect: a name that exists is always refused, as later versions of Docker do.
    #[serde(deserialize_with = "nullable")]
    pub check_duplicate: bool,
    /// `bridge` if empty.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    /// The driver's if empty.
    #[serde(deserialize_with = "nullable")]
    pub scope: String,
    /// Endpoints have IPv6 addresses too.
    #[serde(rename = "EnableIPv6", deserialize_with = "nullable")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM", deserialize_with = "object")]
    pub ipam: Option<IpamRequest>,
    /// Nothing outside its subnets is reached.
    #[serde(deserialize_with = "nullable")]
    pub internal: bool,
    /// For a swarm.
    #[serde(deserialize_with = "nullable")]
    pub attachable: bool,
    /// For a swarm.
    #[serde(deserialize_with = "nullable")]
    pub ingress: bool,
    /// Not a network but the configuration of others.
    #[serde(deserialize_with = "nullable")]
    pub config_only: bool,
    /// The configuration-only network that says how it is.
    #[serde(deserialize_with = "object")]
    pub config_from: Option<ConfigReference>,
    /// The driver's options.
    #[serde(deserialize_with = "nullable")]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
}

/// How its addresses are to be managed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamRequest {
    /// `default` if empty.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    /// Kept and shown only.
    pub options: Option<BTreeMap<String, String>>,
    /// Its subnets; one is chosen if there is none.
    #[serde(deserialize_with = "objects")]
    pub config: Vec<IpamConfigRequest>,
}

/// One subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfigRequest {
    /// CIDR.
    #[serde(deserialize_with = "nullable")]
    pub subnet: String,
    /// CIDR; the whole subnet if empty.
    #[serde(rename = "IPRange", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// The first free address if empty.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Reserved addresses by name.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
    /// An older word for the same.
    #[serde(deserialize_with = "nullable", skip_serializing)]
    pub aux_address: BTreeMap<String, String>,
}

impl NetworkCreateRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`NetError::EmptyBody`] and [`NetError::Body`].
    pub fn parse(body: &[u8]) -> Result<Self, NetError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(NetError::EmptyBody);
        }
        serde_json::from_slice(body)
            .and_then(from_object)
            .map_err(|e: serde_json::Error| NetError::Body(e.to_string()))
    }
}
