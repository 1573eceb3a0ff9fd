//! Pictures: kept in memory under names nobody can guess, handed out to whoever has such a name.
//!
//! It knows no message that shows one. Whoever is logged in may leave a picture; what it is, the bytes say
//! (see `image`), and what a camera wrote into it is left out before it is kept (see `strip`); the oldest go
//! when there is no room. One person's pictures push out that person's own first, so nobody empties the store
//! for all others. Read first: RFC 9110, section 15.5.16 (415);
//! CSP 3, `sandbox`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::image::{self, Image};
use super::recent::Recent;
use super::strip;
use crate::limits::{PICTURE_OVERHEAD_BYTES, PICTURE_PIXELS_MAX, PICTURE_SHARE, PICTURES_MAX};
use crate::server::{Object, Refusal, Response, Shared};

/// Bytes of a picture's name. 128 bits can't be guessed.
const NAME_BYTES: usize = 16;

#[derive(Debug)]
struct Picture {
    image: Image,
    owner: String,
    /// Shared with all who are being sent it.
    bytes: Shared,
}

impl Picture {
    fn cost(&self) -> usize {
        self.bytes.len() + PICTURE_OVERHEAD_BYTES
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Pictures {
    kept: Recent<String, Picture>,
    /// What they count for together.
    bytes: usize,
    bytes_max: usize,
    picture_bytes_max: usize,
}

impl Pictures {
    /// An empty store for so many bytes, of pictures that have at most so many each.
    pub(super) fn new(bytes_max: usize, picture_bytes_max: usize) -> Pictures {
        Pictures { kept: Recent::new(PICTURES_MAX), bytes: 0, bytes_max, picture_bytes_max }
    }

    /// Keeps a picture without its metadata. The answer tells its name, and its size as it is shown.
    ///
    /// # Errors
    /// It is none, or too big.
    pub(super) fn keep(
        &mut self,
        owner: &str,
        bytes: &[u8],
        random: impl FnOnce(&mut [u8]),
    ) -> Result<Object, Refusal> {
        self.check_length(bytes.len() as u64)?;
        let image = image::sniff(bytes).ok_or_else(|| {
            Refusal::new(415, "not_a_picture", "Send the bytes of a PNG, JPEG, GIF or WebP picture.")
        })?;
        if u64::from(image.width) * u64::from(image.height) > PICTURE_PIXELS_MAX {
            let sentence = format!("Make the picture smaller: at most {PICTURE_PIXELS_MAX} pixels.");
            return Err(Refusal::new(413, "too_big", sentence));
        }
        let stripped = strip::strip(image.kind, bytes);
        let (width, height) = match stripped.orientation.swaps_sides() {
            true => (image.height, image.width),
            false => (image.width, image.height),
        };
        let picture = Picture { image, owner: owner.to_owned(), bytes: Shared::from(stripped.bytes) };
        self.make_room(owner, picture.cost());
        let mut name = [0; NAME_BYTES];
        random(&mut name);
        let name = URL_SAFE_NO_PAD.encode(name);
        self.bytes += picture.cost();
        self.kept.entry(&name, || picture);
        Ok(Object::new()
            .boolean("ok", true)
            .string("id", &name)
            .number("width", u64::from(width))
            .number("height", u64::from(height))
            .string("type", image.kind.media_type()))
    }

    fn make_room(&mut self, owner: &str, cost: usize) {
        let share = self.bytes_max / PICTURE_SHARE;
        while self.bytes_of(owner) + cost > share && self.drop_first(|picture| picture.owner == owner) {}
        let is_full =
            |store: &Pictures| store.bytes + cost > store.bytes_max || store.kept.len() >= PICTURES_MAX;
        while is_full(self) && self.drop_first(|_| true) {}
    }

    /// Whether a picture of that many bytes may be kept.
    ///
    /// # Errors
    /// It is too big.
    pub(super) fn check_length(&self, bytes: u64) -> Result<(), Refusal> {
        if bytes <= self.picture_bytes_max as u64 {
            return Ok(());
        }
        let most = self.picture_bytes_max / 1024;
        Err(Refusal::new(413, "too_big", format!("Make the picture smaller: at most {most} KiB.")))
    }

    fn bytes_of(&self, owner: &str) -> usize {
        let of_owner = self.kept.values().filter(|picture| picture.owner == owner);
        of_owner.map(Picture::cost).sum()
    }

    fn drop_first(&mut self, is_it: impl Fn(&Picture) -> bool) -> bool {
        let gone = self.kept.take(|_, picture| is_it(picture));
        self.bytes -= gone.as_ref().map_or(0, |(_, picture)| picture.cost());
        gone.is_some()
    }

    /// Bytes of all of them but for their images, which count where images do: whoever is still being sent
    /// one holds the same bytes.
    pub(super) fn held(&self) -> usize {
        self.kept.len() * PICTURE_OVERHEAD_BYTES
    }

    /// Forgets the one that came first. What it counted for, if there was one.
    pub(super) fn forget_oldest(&mut self) -> Option<usize> {
        let before = self.bytes;
        self.drop_first(|_| true).then(|| before - self.bytes)
    }

    /// Forgets a picture, if it is that person's.
    pub(super) fn forget(&mut self, owner: &str, name: &str) {
        if self.kept.get(name).is_some_and(|picture| picture.owner == owner)
            && let Some((_, gone)) = self.kept.take(|key, _| key == name)
        {
            self.bytes -= gone.cost();
        }
    }

    /// Answers a request for a picture. Whatever its bytes might be taken for, as a document it can do
    /// nothing, and no other site can put it into a page.
    pub(super) fn answer(&self, name: &str) -> Response {
        let Some(picture) = self.kept.get(name) else {
            return Response::problem(404, "no_picture", "This picture is not kept, or no longer.");
        };
        Response::new(200)
            .with_body(picture.image.kind.media_type(), picture.bytes.clone())
            .with_header("Content-Security-Policy", "default-src 'none'; sandbox")
            .with_header("Cross-Origin-Resource-Policy", "same-origin")
            .with_header("Cache-Control", "private, max-age=31536000, immutable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GIF with so many bytes of pixels that it costs `cost`.
    fn gif(cost: usize) -> Vec<u8> {
        strip::gif_of(cost - PICTURE_OVERHEAD_BYTES)
    }

    struct Store(Pictures, u8);

    impl Store {
        fn keep(&mut self, owner: &str, bytes: &[u8]) -> Result<String, Refusal> {
            self.1 += 1;
            let number = self.1;
            self.0.keep(owner, bytes, |name| name.fill(number))?;
            let counted: usize = self.0.kept.values().map(Picture::cost).sum();
            assert_eq!(counted, self.0.bytes, "the account");
            assert!(counted <= self.0.bytes_max);
            Ok(URL_SAFE_NO_PAD.encode([number; NAME_BYTES]))
        }

        fn has(&self, name: &str) -> bool {
            self.0.answer(name).status() == 200
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let mut store = Store(Pictures::new(8_000, 2_000), 0);
        let names: Vec<String> =
            (0..9).map(|n| store.keep(&format!("user {n}"), &gif(1_000)).unwrap()).collect();
        let kept: Vec<bool> = names.iter().map(|name| store.has(name)).collect();
        assert_eq!(kept, [false, true, true, true, true, true, true, true, true]);
    }

    #[test]
    fn who_leaves_many_pushes_out_his_own() {
        let mut store = Store(Pictures::new(8_000, 2_000), 0);
        let ann = store.keep("ann", &gif(1_000)).unwrap();
        let bobs: Vec<String> = (0..30).map(|_| store.keep("bob", &gif(1_000)).unwrap()).collect();
        assert!(store.has(&ann));
        assert_eq!(bobs.iter().filter(|name| store.has(name)).count(), 8 / PICTURE_SHARE);
        assert!(store.has(&bobs[29]));
    }

    #[test]
    fn a_picture_is_its_owners_to_forget() {
        let mut store = Store(Pictures::new(8_000, 2_000), 0);
        let name = store.keep("ann", &gif(1_000)).unwrap();
        store.0.forget("bob", &name);
        assert!(store.has(&name));
        store.0.forget("ann", &name);
        store.0.forget("ann", &name);
        assert!(!store.has(&name));
        assert_eq!(store.0.bytes, 0);
    }

    #[test]
    fn what_is_too_big_or_none_is_refused() {
        let mut store = Store(Pictures::new(8_000, 1_000), 0);
        assert_eq!(store.keep("ann", &gif(1_000 + PICTURE_OVERHEAD_BYTES)).map(|_| ()), Ok(()));
        assert_eq!(store.keep("ann", &gif(1_001 + PICTURE_OVERHEAD_BYTES)).unwrap_err().code, "too_big");
        let huge = b"GIF89a\xff\xff\xff\xff\x80\0\0";
        assert_eq!(store.keep("ann", huge).unwrap_err().status, 413, "four billion pixels");
        assert_eq!(store.keep("ann", b"GIF").unwrap_err().code, "not_a_picture");
        let of_size = |width: u16, height: u16| {
            assert_eq!(8_000 * 5_000, PICTURE_PIXELS_MAX);
            [&b"GIF89a"[..], &width.to_le_bytes(), &height.to_le_bytes(), b"\x80\0\0"].concat()
        };
        assert!(store.keep("ann", &of_size(8_000, 5_000)).is_ok());
        assert_eq!(store.keep("ann", &of_size(8_000, 5_001)).unwrap_err().status, 413);
    }

    #[test]
    fn a_turned_picture_is_kept_without_its_place_and_told_as_it_is_shown() {
        let mut pictures = Pictures::new(8_000, 2_000);
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0in the garden";
        let jpeg = [
            &b"\xff\xd8\xff\xe1\0\x2f"[..],
            exif,
            b"\xff\xc0\0\x0b\x08\0\x03\x01\x02\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0pixels\xff\xd9",
        ]
        .concat();
        let answer = pictures.keep("ann", &jpeg, |name| name.fill(1)).unwrap().into_bytes();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(r#""width":3,"height":258"#), "{answer}");
        let kept = pictures.kept.values().next().unwrap();
        assert!(!kept.bytes.windows(6).any(|part| part == b"garden"));
        assert!(kept.bytes.ends_with(b"pixels\xff\xd9"));
        assert_eq!(pictures.bytes, kept.cost(), "what is left out is not counted");
    }

    #[test]
    fn so_many_are_kept_however_small() {
        let mut pictures = Pictures::new(usize::MAX, 2_000);
        let name = |number: u32| [&number.to_be_bytes()[..], &[0; NAME_BYTES - 4]].concat();
        for number in 0..=PICTURES_MAX as u32 {
            let owner = format!("user {number}");
            pictures.keep(&owner, &gif(300), |bytes| bytes.copy_from_slice(&name(number))).unwrap();
        }
        assert_eq!(pictures.kept.len(), PICTURES_MAX);
        assert_eq!(pictures.bytes, pictures.kept.values().map(Picture::cost).sum::<usize>(), "the account");
        let status = |number| pictures.answer(&URL_SAFE_NO_PAD.encode(name(number))).status();
        assert_eq!([0, 1, PICTURES_MAX as u32].map(status), [404, 200, 200]);
    }
}
