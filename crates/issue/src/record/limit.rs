//! Restrictions of a key or a client: rates, quotas, networks, and what a request must be.

use borsh::io::{self, Read};
use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::name::Label;

use super::{Ascending, Sorted, is_text};

/// So many requests in a period, counted by GCRA: on the average `count` in each `per`, at most `burst` at once.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Limit {
    /// Routes name the limit that they charge.
    pub name: Label,
    pub count: u32,
    /// Milliseconds.
    pub per: u64,
    pub burst: u32,
    /// Charged for a request unless its route says otherwise.
    pub cost: u32,
}

/// So much in a calendar period of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Quota {
    pub period: Period,
    pub amount: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Period {
    Day = 1,
    Month = 2,
}

/// Addresses that share their first bits. The others are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Network {
    V4([u8; 4], u8) = 4,
    V6([u8; 16], u8) = 6,
}

/// Every restriction that is there must hold; an empty list restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Conditions {
    pub limits: Ascending<Limit>,
    pub quotas: Ascending<Quota>,
    pub networks: Ascending<Network>,
    pub origins: Ascending<Box<str>>,
    pub methods: Ascending<Box<str>>,
    pub paths: Ascending<Box<str>>,
    pub apps: Ascending<Box<str>>,
}

impl Sorted for Limit {
    type Key = Label;
    fn sort_key(&self) -> &Label {
        &self.name
    }
}

impl Sorted for Quota {
    type Key = Period;
    fn sort_key(&self) -> &Period {
        &self.period
    }
}

impl Limit {
    pub(super) fn is_valid(&self) -> bool {
        self.count > 0 && self.per > 0 && self.burst > 0 && self.cost > 0
    }

    /// A limit that both allow, and not more: the lower rate, the lower burst, the higher cost.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        // A rate is count / per; compared without division.
        let own = u128::from(self.count) * u128::from(other.per);
        let others = u128::from(other.count) * u128::from(self.per);
        let slower = if own <= others { self } else { other };
        Self {
            name: self.name.clone(),
            count: slower.count,
            per: slower.per,
            burst: self.burst.min(other.burst),
            cost: self.cost.max(other.cost),
        }
    }
}

impl Network {
    fn is_valid(&self) -> bool {
        let (bytes, bits): (&[u8], u8) = match self {
            Self::V4(bytes, bits) => (bytes, *bits),
            Self::V6(bytes, bits) => (bytes, *bits),
        };
        let bits = usize::from(bits);
        let beyond = |at: usize, byte: u8| match bits.saturating_sub(at * 8) {
            kept @ 0..8 => byte & (0xff >> kept),
            _ => 0,
        };
        bits <= bytes.len() * 8 && bytes.iter().enumerate().all(|(at, byte)| beyond(at, *byte) == 0)
    }
}

impl BorshDeserialize for Network {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let network = match u8::deserialize_reader(reader)? {
            4 => {
                let (address, bits) = BorshDeserialize::deserialize_reader(reader)?;
                Self::V4(address, bits)
            }
            6 => {
                let (address, bits) = BorshDeserialize::deserialize_reader(reader)?;
                Self::V6(address, bits)
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        if network.is_valid() { Ok(network) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl Conditions {
    pub(super) fn is_valid(&self) -> bool {
        let texts = [&self.origins, &self.methods, &self.paths, &self.apps];
        self.limits.iter().all(Limit::is_valid)
            && texts.iter().all(|list| list.iter().all(|text| !text.is_empty() && is_text(text)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit() -> impl Strategy<Value = Limit> {
        (1..1000_u32, 1..100_000_u64, 1..100_u32, 1..10_u32).prop_map(|(count, per, burst, cost)| Limit {
            name: Label::parse("requests").unwrap_or_else(|_| std::process::abort()),
            count,
            per,
            burst,
            cost,
        })
    }

    /// Requests of `cost` that the limit lets pass in `time` milliseconds, all that come: `burst + count × time / per`.
    fn passed(limit: &Limit, time: u64) -> u128 {
        (u128::from(limit.burst) + u128::from(limit.count) * u128::from(time) / u128::from(limit.per))
            / u128::from(limit.cost)
    }

    proptest! {
        #[test]
        fn the_strictest_of_two_limits_never_lets_more_pass_than_either(left in limit(), right in limit(), time in 0..1_000_000_u64) {
            let strictest = left.strictest(&right);
            prop_assert!(passed(&strictest, time) <= passed(&left, time).min(passed(&right, time)));
            prop_assert_eq!(strictest.strictest(&left), strictest);
        }
    }

    #[test]
    fn a_network_has_nothing_behind_its_first_bits() {
        for (network, valid) in [
            (Network::V4([10, 0, 0, 0], 8), true),
            (Network::V4([10, 0, 0, 1], 8), false),
            (Network::V4([10, 0, 0, 1], 32), true),
            (Network::V4([10, 0, 0, 1], 33), false),
            (Network::V4([0; 4], 0), true),
            (Network::V4([10, 128, 0, 0], 9), true),
            (Network::V4([10, 64, 0, 0], 9), false),
            (Network::V6([0xff; 16], 128), true),
        ] {
            assert_eq!(network.is_valid(), valid, "{network:?}");
        }
    }
}
