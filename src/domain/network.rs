//! Which of a backup file's two addresses is meant.

/// The addresses of each file that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// The address on the public internet.
    Public,
    /// The address inside the vendor's network.
    Inner,
    /// Both.
    Both,
}

impl Network {
    /// The name in queries, policies and audit records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Inner => "inner",
            Self::Both => "both",
        }
    }
}
