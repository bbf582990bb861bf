//! JSON as Go reads it, for fields of serde's structures.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// `null` is the value a field has without it.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

/// A structure from an object. Serde would take an array for one too.
pub(crate) fn from_object<T: DeserializeOwned, E: Error>(object: Object) -> Result<T, E> {
    T::deserialize(Value::Object(object)).map_err(E::custom)
}

/// A structure that may be `null`.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Option<T>, D::Error> {
    Option::<Object>::deserialize(d)?.map(from_object).transpose()
}

/// A structure whose `null` is its default.
pub(crate) fn object_or_default<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    d: D,
) -> Result<T, D::Error> {
    object(d).map(Option::unwrap_or_default)
}

/// A list of structures; `null` is an empty one.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Object>>::deserialize(d)?;
    objects.unwrap_or_default().into_iter().map(from_object).collect()
}
