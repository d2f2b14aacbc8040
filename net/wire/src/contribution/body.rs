//! The body: a table of index lengths, then one section per tensor, each decodable by itself.

use super::bytes::Reader;
use super::sizes::{CODEBOOK_BYTES, TABLE_ENTRY_BYTES};
use super::{Header, Verified};
use crate::protocol::CODEBOOK_LEN;
use crate::{Digest, Rejection};

/// What one tensor sends, still as bytes of its codec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section<'a> {
    /// The values that codes stand for.
    pub codebook: [f32; CODEBOOK_LEN],
    /// Which values of each chunk were kept.
    pub index_bytes: &'a [u8],
    /// A 2-bit code for each of them.
    pub code_bytes: &'a [u8],
}

/// A contribution whose header is verified and whose body is the signed one. Its sections have the
/// lengths that the layout asks for and finite codebooks.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution<'a> {
    /// The verified header.
    pub header: Header,
    /// One section per tensor, in the layout's order.
    pub sections: Vec<Section<'a>>,
}

pub(super) fn encoded_len(sections: &[Section<'_>]) -> usize {
    let fixed = (TABLE_ENTRY_BYTES + CODEBOOK_BYTES) as usize;
    let bytes =
        |section: &Section<'_>| fixed + section.index_bytes.len() + section.code_bytes.len();
    sections.iter().map(bytes).sum()
}

pub(super) fn encode_into(out: &mut Vec<u8>, sections: &[Section<'_>]) {
    for section in sections {
        let len = u32::try_from(section.index_bytes.len()).expect("indices of less than 4 GiB");
        out.extend(len.to_le_bytes());
    }
    for section in sections {
        out.extend(section.codebook.iter().flat_map(|value| value.to_le_bytes()));
        out.extend_from_slice(section.index_bytes);
        out.extend_from_slice(section.code_bytes);
    }
}

impl Verified<'_> {
    /// Checks a body against its hash and cuts it into sections, without copying.
    ///
    /// Memory is one [`Section`] per tensor of our own layout, whatever the body says.
    ///
    /// # Errors
    /// The body is not the signed one, or a section is not as the layout asks for.
    pub fn decode<'b>(&self, body: &'b [u8]) -> Result<Contribution<'b>, Rejection> {
        let claimed = self.header.body_bytes;
        if body.len() as u64 != claimed {
            return Err(Rejection::OtherBodyLength { found: body.len() as u64, claimed });
        }
        let (found, claimed) = (Digest(*blake3::hash(body).as_bytes()), self.header.body_hash);
        if found != claimed {
            return Err(Rejection::OtherBody { found, claimed });
        }
        let index_lengths = self.read_table(body)?;
        let table_bytes = TABLE_ENTRY_BYTES as usize * index_lengths.len();
        let mut reader = Reader(&body[table_bytes..]);
        let sections = index_lengths.into_iter().zip(self.sizes.sections()).enumerate();
        let sections = sections
            .map(|(section, (index_bytes, sizes))| {
                let codebook = read_codebook(&mut reader, section as u32)?;
                let index_bytes = reader.bytes(index_bytes);
                let code_bytes = reader.bytes(sizes.code_bytes as usize);
                Ok(Section { codebook, index_bytes, code_bytes })
            })
            .collect::<Result<_, _>>()?;
        Ok(Contribution { header: self.header, sections })
    }

    /// Length of each section's indices; together with what is fixed they fill the body exactly.
    fn read_table(&self, body: &[u8]) -> Result<Vec<usize>, Rejection> {
        let mut reader = Reader(body);
        let mut sum = 0;
        let read = |(section, sizes): (usize, &super::SectionSizes)| {
            let (found, allowed) = (u64::from(reader.u32()), &sizes.index_bytes);
            if !allowed.contains(&found) {
                let (section, min, max) = (section as u32, *allowed.start(), *allowed.end());
                return Err(Rejection::SectionLength { section, found, min, max });
            }
            sum += TABLE_ENTRY_BYTES + CODEBOOK_BYTES + sizes.code_bytes + found;
            Ok(found as usize)
        };
        let lengths = self.sizes.sections().iter().enumerate().map(read);
        let lengths = lengths.collect::<Result<_, _>>()?;
        if sum != body.len() as u64 {
            return Err(Rejection::SectionSum { found: sum, body: body.len() as u64 });
        }
        Ok(lengths)
    }
}

fn read_codebook(reader: &mut Reader<'_>, section: u32) -> Result<[f32; CODEBOOK_LEN], Rejection> {
    let codebook: [f32; CODEBOOK_LEN] = std::array::from_fn(|_| reader.f32());
    match codebook.iter().position(|value| !value.is_finite()) {
        None => Ok(codebook),
        Some(entry) => {
            let bits = codebook[entry].to_bits();
            Err(Rejection::Codebook { section, entry: entry as u32, bits })
        }
    }
}
