#include "ckr1_loop.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, PLAIN = 80, HEADER = 56, VALUE = HEADER + PLAIN + 16 };

struct ckr1_loop {
    EVP_MD *sha512;
    EVP_CIPHER *gcm;
    /* HMAC-SHA512 under the pseudo-random key: copying two states is the quickest way that EVP has. */
    EVP_MD_CTX *inner, *outer, *work;
    EVP_CIPHER_CTX *cipher;
    uint8_t salts[BATCH * 16];
    uint8_t values[BATCH][VALUE];
    uint8_t okm[64];
};

static const uint8_t nonce[12];

static int start(EVP_MD_CTX *context, const EVP_MD *md, const uint8_t *key, uint8_t pad) {
    uint8_t block[128];
    memset(block, pad, sizeof block);
    for (int i = 0; i < 64; i++) block[i] ^= key[i];
    return EVP_DigestInit_ex2(context, md, NULL) && EVP_DigestUpdate(context, block, sizeof block);
}

ckr1_loop *ckr1_loop_new(const uint8_t *key) {
    ckr1_loop *loop = calloc(1, sizeof *loop);
    uint8_t prk[64];
    unsigned int length;
    if (!loop) return NULL;
    loop->sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
    loop->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    loop->inner = EVP_MD_CTX_new();
    loop->outer = EVP_MD_CTX_new();
    loop->work = EVP_MD_CTX_new();
    loop->cipher = EVP_CIPHER_CTX_new();
    if (!loop->sha512 || !loop->gcm || !loop->inner || !loop->outer || !loop->work || !loop->cipher
        || !HMAC(EVP_sha512(), "KR1", 3, key, 32, prk, &length) || !start(loop->inner, loop->sha512, prk, 0x36)
        || !start(loop->outer, loop->sha512, prk, 0x5c) || !EVP_CipherInit_ex2(loop->cipher, loop->gcm, NULL, NULL, 1, NULL)) {
        ckr1_loop_free(loop);
        return NULL;
    }
    return loop;
}

void ckr1_loop_free(ckr1_loop *loop) {
    if (!loop) return;
    EVP_MD_CTX_free(loop->inner);
    EVP_MD_CTX_free(loop->outer);
    EVP_MD_CTX_free(loop->work);
    EVP_CIPHER_CTX_free(loop->cipher);
    EVP_CIPHER_free(loop->gcm);
    EVP_MD_free(loop->sha512);
    free(loop);
}

/* The context: app, users.email, 42. */
static int derive(ckr1_loop *loop, const uint8_t *value) {
    static const uint8_t context[] = "\0\0\0\3\0\0\0\3app\0\0\0\13users.email\0\0\0\00242\1";
    unsigned int length;
    return EVP_MD_CTX_copy_ex(loop->work, loop->inner) && EVP_DigestUpdate(loop->work, "KR1 aes-256-gcm", 16)
        && EVP_DigestUpdate(loop->work, value, 24) && EVP_DigestUpdate(loop->work, context, sizeof context - 1)
        && EVP_DigestFinal_ex(loop->work, loop->okm, &length) && EVP_MD_CTX_copy_ex(loop->work, loop->outer)
        && EVP_DigestUpdate(loop->work, loop->okm, 64) && EVP_DigestFinal_ex(loop->work, loop->okm, &length);
}

static int seal(ckr1_loop *loop, const uint8_t *plain, const uint8_t *salt, uint8_t *value) {
    static const uint8_t head[8] = {0xf9, 1, 0, 2, 0, 0, 0, 7};
    int length;
    memcpy(value, head, 8);
    memcpy(value + 8, salt, 16);
    if (!derive(loop, value)) return 0;
    memcpy(value + 24, loop->okm + 32, 32);
    return EVP_CipherInit_ex2(loop->cipher, NULL, loop->okm, nonce, 1, NULL)
        && EVP_EncryptUpdate(loop->cipher, NULL, &length, value, HEADER)
        && EVP_EncryptUpdate(loop->cipher, value + HEADER, &length, plain, PLAIN)
        && EVP_EncryptFinal_ex(loop->cipher, value + HEADER + PLAIN, &length)
        && EVP_CIPHER_CTX_ctrl(loop->cipher, EVP_CTRL_AEAD_GET_TAG, 16, value + HEADER + PLAIN);
}

static int open_value(ckr1_loop *loop, const uint8_t *value, uint8_t *plain) {
    int length;
    return derive(loop, value) && CRYPTO_memcmp(value + 24, loop->okm + 32, 32) == 0
        && EVP_CipherInit_ex2(loop->cipher, NULL, loop->okm, nonce, 0, NULL)
        && EVP_CIPHER_CTX_ctrl(loop->cipher, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(value + HEADER + PLAIN))
        && EVP_DecryptUpdate(loop->cipher, NULL, &length, value, HEADER)
        && EVP_DecryptUpdate(loop->cipher, plain, &length, value + HEADER, PLAIN)
        && EVP_DecryptFinal_ex(loop->cipher, plain + PLAIN, &length);
}

int ckr1_loop_run(ckr1_loop *loop, uint64_t batches) {
    uint8_t plain[PLAIN], back[PLAIN + 16];
    for (int i = 0; i < PLAIN; i++) plain[i] = (uint8_t)i;
    for (uint64_t batch = 0; batch < batches; batch++) {
        if (RAND_bytes(loop->salts, sizeof loop->salts) != 1) return 0;
        for (int i = 0; i < BATCH; i++)
            if (!seal(loop, plain, loop->salts + 16 * i, loop->values[i])) return 0;
        for (int i = 0; i < BATCH; i++)
            if (!open_value(loop, loop->values[i], back) || memcmp(back, plain, PLAIN)) return 0;
    }
    return 1;
}
