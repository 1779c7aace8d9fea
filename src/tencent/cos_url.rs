//! cos_url
