//! DEFLATE read in the plainest way (RFC 1951), by nothing that the server uses, and with a window that is
//! kept to the octet: what points further back than it may is an error.

/// The octets that `input` stands for, with references of at most `window` octets back. The input is one
/// message's (RFC 7692, section 7.2.2): the empty block at its end is put back here.
pub fn inflate(input: &[u8], window: usize) -> Result<Vec<u8>, String> {
    let input = [input, &[0x00, 0x00, 0xff, 0xff]].concat();
    let mut bits = Bits { input: &input, at: 0 };
    let mut out = Vec::new();
    while bits.at < 8 * input.len() {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out)?,
            1 => {
                let lengths: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        144..=255 => 9,
                        256..=279 => 7,
                        _ => 8,
                    })
                    .collect();
                compressed(&mut bits, &mut out, &Code::of(&lengths)?, &Code::of(&[5; 30])?, window)?;
            }
            2 => {
                let (literals, distances) = dynamic(&mut bits)?;
                compressed(&mut bits, &mut out, &literals, &distances, window)?;
            }
            kind => return Err(format!("a block of type {kind}")),
        }
        if is_last {
            // Another stream begins at the next octet, and knows nothing of this one.
            bits.at = bits.at.next_multiple_of(8);
        }
    }
    Ok(out)
}

struct Bits<'a> {
    input: &'a [u8],
    /// Counted in bits.
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, String> {
        let mut value = 0;
        for index in 0..count {
            let octet = self.input.get(self.at / 8).ok_or("cut short")?;
            value |= usize::from(octet >> (self.at % 8) & 1) << index;
            self.at += 1;
        }
        Ok(value)
    }
}

/// A Huffman code: how many symbols there are of each length, and the symbols in order. RFC 1951, 3.2.2.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn of(lengths: &[u8]) -> Result<Code, String> {
        let mut counts = [0; 16];
        for &length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let room = (1..16).try_fold(1_usize, |room, length| (2 * room).checked_sub(counts[length]));
        room.ok_or("more codes than bits")?;
        let with = |length: u8| (0..lengths.len()).filter(move |&symbol| lengths[symbol] == length);
        Ok(Code { counts, symbols: (1..16).flat_map(with).collect() })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, String> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..16 {
            code |= bits.take(1)?;
            let count = self.counts[length];
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = 2 * (first + count);
            code *= 2;
        }
        Err("no such code".to_owned())
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    bits.at = bits.at.next_multiple_of(8);
    let (length, check) = (bits.take(16)?, bits.take(16)?);
    if length != !check & 0xffff {
        return Err("the lengths of a stored block differ".to_owned());
    }
    for _ in 0..length {
        out.push(bits.take(8)? as u8);
    }
    Ok(())
}

fn dynamic(bits: &mut Bits<'_>) -> Result<(Code, Code), String> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, orders) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut lengths = [0; 19];
    for &place in &ORDER[..orders] {
        lengths[place] = bits.take(3)? as u8;
    }
    let code = Code::of(&lengths)?;
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (value, count) = match code.read(bits)? {
            16 => (*lengths.last().ok_or("nothing to repeat")?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.resize(lengths.len() + count, value);
    }
    if lengths.len() > literals + distances {
        return Err("more lengths than codes".to_owned());
    }
    Ok((Code::of(&lengths[..literals])?, Code::of(&lengths[literals..])?))
}

fn compressed(
    bits: &mut Bits<'_>,
    out: &mut Vec<u8>,
    literals: &Code,
    distances: &Code,
    window: usize,
) -> Result<(), String> {
    const LENGTHS: [(usize, usize); 29] = table([8, 4, 4, 4, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0], 3);
    const DISTANCES: [(usize, usize); 30] = table([4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2], 1);
    loop {
        let symbol = literals.read(bits)?;
        if symbol < 256 {
            out.push(symbol as u8);
            continue;
        }
        if symbol == 256 {
            return Ok(());
        }
        let &(base, extra) = LENGTHS.get(symbol - 257).ok_or("no such length")?;
        // RFC 1951, section 3.2.5: the last one is out of order.
        let length = if symbol == 285 { 258 } else { base + bits.take(extra)? };
        let &(base, extra) = DISTANCES.get(distances.read(bits)?).ok_or("no such distance")?;
        let distance = base + bits.take(extra)?;
        if distance > out.len() || distance > window {
            return Err(format!("{distance} octets back, of {} in a window of {window}", out.len()));
        }
        for _ in 0..length {
            out.push(out[out.len() - distance]);
        }
    }
}

/// How much is added to the base of each symbol: `counts[n]` of them with `n` further bits, from `base` on.
const fn table<const N: usize>(counts: [usize; 14], base: usize) -> [(usize, usize); N] {
    let mut rows = [(0, 0); N];
    let (mut row, mut bits, mut left, mut value) = (0, 0, counts[0], base);
    while row < N {
        while left == 0 {
            bits += 1;
            left = counts[bits];
        }
        rows[row] = (value, bits);
        value += 1 << bits;
        left -= 1;
        row += 1;
    }
    rows
}
