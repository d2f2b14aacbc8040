//! The first state of a chain, from its file: as it is stored, or made by the runtime itself from
//! what the file says in place of the runtime's own presets.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use subxt::ext::codec::{Decode, Encode};

use crate::Store;
use crate::wasm::Wasm;

/// A chain before its first block.
#[derive(Clone)]
pub struct Genesis {
    pub(crate) store: Store,
    pub(crate) wasm: Wasm,
}

impl Genesis {
    /// Reads the file of a chain.
    ///
    /// # Errors
    /// It does not read, or its runtime makes no state of it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file: Json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let genesis = &file["genesis"];
        let mut store = Store::new();
        if let Some(stored) = genesis["raw"]["top"].as_object() {
            for (key, value) in stored {
                let key = bytes(&Json::from(key.as_str())).ok_or("a key is no hex")?;
                store.insert(key, bytes(value).ok_or("a value is no hex")?.into());
            }
            let wasm = Wasm::of(&store)?;
            return Ok(Self { store, wasm });
        }
        let code = bytes(&genesis["runtimeGenesis"]["code"]).ok_or("the file has no runtime")?;
        store.insert(b":code".to_vec(), Arc::from(code));
        let wasm = Wasm::of(&store)?;
        let preset = wasm.call(&mut store, "GenesisBuilder_get_preset", &None::<()>.encode())?;
        let preset = Option::<Vec<u8>>::decode(&mut &preset[..]).map_err(|e| e.to_string())?;
        let preset = preset.ok_or("the runtime has no preset")?;
        let mut config: Json = serde_json::from_slice(&preset).map_err(|e| e.to_string())?;
        merge(&mut config, &genesis["runtimeGenesis"]["patch"]);
        let config = config.to_string().into_bytes().encode();
        match &wasm.call(&mut store, "GenesisBuilder_build_state", &config)?[..] {
            [0, ..] => Ok(Self { store, wasm }),
            refused => Err(format!("the file is refused: {}", String::from_utf8_lossy(refused))),
        }
    }
}

/// Puts what `patch` says in place of what `config` says.
fn merge(config: &mut Json, patch: &Json) {
    match (config, patch) {
        (Json::Object(config), Json::Object(patch)) => {
            for (key, value) in patch {
                merge(config.entry(key.as_str()).or_insert(Json::Null), value);
            }
        }
        (config, patch) => *config = patch.clone(),
    }
}

/// The bytes that `0x..` spells.
pub(crate) fn bytes(text: &Json) -> Option<Vec<u8>> {
    hex::decode(text.as_str()?.strip_prefix("0x")?).ok()
}
