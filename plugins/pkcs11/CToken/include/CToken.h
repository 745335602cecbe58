#ifndef CTOKEN_H
#define CTOKEN_H

#include <stddef.h>
#include <stdint.h>

/// The few calls of PKCS #11 that a key provider needs, behind a module that is loaded at run time.
///
/// Each returns 0, or the module's CKR_ code; the numbers are those of the standard. Nothing here is remembered between calls
/// but what the handles stand for.

/// A loaded module; one a process.
typedef struct kt_module kt_module;

/// A CKR_ code, or one of ours.
typedef unsigned long kt_result;

enum {
    KT_OK = 0,
    /// The module cannot be loaded, or is none.
    KT_NOT_LOADED = 0x80F00001,
    /// No slot holds a token with that label.
    KT_NO_TOKEN = 0x80F00002,
    /// An answer does not fit where it should.
    KT_TOO_LARGE = 0x80F00003,
};

/// Loads and initialises a module for use by several threads.
kt_result kt_module_load(const char *path, kt_module **module);

/// The slot whose token has a label; two tokens with one label count as none.
kt_result kt_module_slot(kt_module *module, const char *label, unsigned long *slot);

/// Opens a session that may make keys.
kt_result kt_session_open(kt_module *module, unsigned long slot, unsigned long *session);

/// Closes a session.
void kt_session_close(kt_module *module, unsigned long session);

/// Logs in as the token's user; being logged in already is no error.
kt_result kt_session_login(kt_module *module, unsigned long session, const uint8_t *pin, size_t count);

/// An AES key that can encrypt and decrypt, as it is found: its handle and its CKA_ID.
typedef struct kt_key {
    unsigned long handle;
    uint8_t id[64];
    size_t id_count;
    /// Whether it is sensitive, not extractable, and may encrypt and decrypt.
    int is_protected;
} kt_key;

/// The AES keys with a label, at most `capacity` of them; sets `count`.
kt_result kt_session_keys(kt_module *module, unsigned long session, const char *label, kt_key *keys, size_t capacity,
                          size_t *count);

/// Makes an AES-256 key on the token that never leaves it.
kt_result kt_session_make_key(kt_module *module, unsigned long session, const char *label, const uint8_t *id,
                              size_t id_count);

/// Fills a buffer with the token's random bytes.
kt_result kt_session_random(kt_module *module, unsigned long session, uint8_t *bytes, size_t count);

/// What AES-GCM works on.
typedef struct kt_gcm {
    const uint8_t *nonce;
    size_t nonce_count;
    const uint8_t *context;
    size_t context_count;
    const uint8_t *input;
    size_t input_count;
    uint8_t *output;
    size_t capacity;
    size_t output_count;
} kt_gcm;

/// Encrypts with a key on the token; the tag of 16 bytes follows the ciphertext.
kt_result kt_session_encrypt(kt_module *module, unsigned long session, unsigned long key, kt_gcm *work);

/// Decrypts with a key on the token.
kt_result kt_session_decrypt(kt_module *module, unsigned long session, unsigned long key, kt_gcm *work);

/// Whether an open file belongs to this user or to root, and nobody else can read or write it.
int kt_file_is_private(int descriptor);

#endif
