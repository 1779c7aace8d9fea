//! Makes a small RDB file, version 9, that `redis-check-rdb` and a Redis from 5.0 on accept.
//!
//! Pure and deterministic: the same arguments give the same bytes, so that a size can be told before a download.
//! Format: `rdb.h` and `crc64.c` of Redis 7.0.

const OPCODE_AUX: u8 = 0xfa;
const OPCODE_RESIZEDB: u8 = 0xfb;
const OPCODE_SELECTDB: u8 = 0xfe;
const OPCODE_EOF: u8 = 0xff;
const TYPE_STRING: u8 = 0;
/// The Jones polynomial, reflected.
const CRC64_POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// A dump of one shard: a few string keys that tell where they come from.
pub(crate) fn dump(instance_id: &str, backup_id: &str, shard: u32) -> Vec<u8> {
    let keys = [
        ("sandbox:instance".to_owned(), instance_id.to_owned()),
        ("sandbox:backup".to_owned(), backup_id.to_owned()),
        ("sandbox:shard".to_owned(), shard.to_string()),
        (format!("order:{}", 1000 + shard), format!("{{\"shard\":{shard},\"state\":\"paid\"}}")),
    ];

    let mut file = b"REDIS0009".to_vec();
    for (name, value) in [("redis-ver", "6.2.14"), ("redis-bits", "64")] {
        file.push(OPCODE_AUX);
        put_string(&mut file, name);
        put_string(&mut file, value);
    }
    file.extend([OPCODE_SELECTDB, 0, OPCODE_RESIZEDB]);
    put_length(&mut file, keys.len());
    put_length(&mut file, 0);
    for (key, value) in &keys {
        file.push(TYPE_STRING);
        put_string(&mut file, key);
        put_string(&mut file, value);
    }
    file.push(OPCODE_EOF);
    let checksum = crc64(&file);
    file.extend(checksum.to_le_bytes());
    file
}

fn put_string(file: &mut Vec<u8>, text: &str) {
    put_length(file, text.len());
    file.extend(text.as_bytes());
}

/// Lengths below 64 take 6 bits, others here 32 bits in network order.
fn put_length(file: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 64 => file.push(short),
        _ => {
            file.push(0x80);
            file.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ u64::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ CRC64_POLYNOMIAL } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_redis() {
        // The self-test of crc64.c.
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn a_dump_ends_with_the_checksum_of_all_before_it() {
        let file = dump("crs-4y9t57vt", "678362566696298532848117", 3);

        let (body, checksum) = file.split_at(file.len() - 8);
        assert!(body.starts_with(b"REDIS0009"));
        assert_eq!(body.last(), Some(&OPCODE_EOF));
        assert_eq!(checksum, crc64(body).to_le_bytes());
    }
}
