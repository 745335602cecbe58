#ifndef CKR1_LOOP_H
#define CKR1_LOOP_H

#include <stdint.h>

/* KR1 of 80-byte values in plain C over libcrypto's EVP, the yardstick for the Swift core. */
typedef struct ckr1_loop ckr1_loop;

/* Prepares one key of 32 bytes; NULL where libcrypto refuses. */
ckr1_loop *ckr1_loop_new(const uint8_t *key);

/* Seals and opens `batches` batches of 256 values and compares each; 1 where every one came back, otherwise 0. */
int ckr1_loop_run(ckr1_loop *loop, uint64_t batches);

void ckr1_loop_free(ckr1_loop *loop);

#endif
