//! Seats for money: what one costs, who can pay, and buying it.

use subxt::dynamic::Value;
use subxt::ext::scale_decode::DecodeAsType;
use wire::{Hotkey, Netuid, Uid};

use super::{Call, Refusal, Subtensor};
use crate::{Chain, ChainError};

/// What an account owns, as far as it matters here.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Account {
    data: Balance,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Balance {
    free: u64,
}

impl Subtensor {
    /// What a seat costs now, in RAO; it changes with every block.
    ///
    /// # Errors
    /// The chain is out of reach, or has no such subnet.
    pub fn seat_price_rao(&self, netuid: Netuid) -> Result<u64, ChainError> {
        let at = self.newest()?.hash;
        self.check_subnet(&at, netuid)?;
        self.number(&at, "Burn", netuid)
    }

    /// What `key` can pay with now, in RAO.
    ///
    /// # Errors
    /// The chain is out of reach.
    pub fn balance_rao(&self, key: Hotkey) -> Result<u64, ChainError> {
        let (at, item) = (self.newest()?.hash, ("System", "Account"));
        let account = self.state.stored::<Account>(&at, item, &[Value::from_bytes(key.0)])?;
        Ok(account.map_or(0, |account| account.data.free))
    }

    /// Buys a seat for `hotkey`; one that it has already costs nothing.
    ///
    /// # Errors
    /// Nobody pays, the seat costs more than the payer's limit or has, or the subnet sells none.
    pub fn buy_seat(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Uid, ChainError> {
        if let Some(uid) = self.uid_of(netuid, hotkey)? {
            return Ok(uid);
        }
        let price_rao = self.seat_price_rao(netuid)?;
        let Some((payer, price_max_rao)) = &self.options.payer else {
            return Err(ChainError::SeatForSale { netuid, hotkey, price_rao });
        };
        if price_rao > *price_max_rao {
            return Err(ChainError::Refused { refusal: Refusal::PriceAboveLimit });
        }
        let (coldkey, has_rao) = (payer.hotkey(), self.balance_rao(payer.hotkey())?);
        if has_rao < price_rao {
            return Err(ChainError::BalanceTooLow { coldkey, needs_rao: price_rao, has_rao });
        }
        let (call, _) = self.seat_call(netuid, hotkey, *price_max_rao)?;
        match self.send(&call, payer) {
            Err(ChainError::Refused { refusal: Refusal::SeatsTaken }) => {
                return Err(ChainError::SeatsTaken { netuid, seats_max: self.limits()?.seats_max });
            }
            Ok(()) | Err(ChainError::Refused { refusal: Refusal::AlreadyRegistered }) => {}
            Err(error) => return Err(error),
        }
        self.uid_of(netuid, hotkey)?.ok_or(ChainError::NotRegistered { netuid, hotkey })
    }

    /// The call that buys a seat, with the runtime's bytes, for whoever signs it elsewhere.
    ///
    /// # Errors
    /// The chain is out of reach.
    pub fn seat_call(
        &self,
        netuid: Netuid,
        hotkey: Hotkey,
        price_max_rao: u64,
    ) -> Result<(Call, Vec<u8>), ChainError> {
        let runtime = self.state.runtime(&self.newest()?.hash)?;
        let limited = Call::register_limit(netuid, hotkey, price_max_rao);
        match limited.bytes(runtime.metadata()) {
            Ok(bytes) => Ok((limited, bytes)),
            Err(ChainError::NoSuchName { .. }) => {
                let call = Call::burned_register(netuid, hotkey);
                let bytes = call.bytes(runtime.metadata())?;
                Ok((call, bytes))
            }
            Err(error) => Err(error),
        }
    }
}
