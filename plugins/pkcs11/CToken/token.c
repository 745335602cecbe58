#include "CToken.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// The names and numbers of PKCS #11 version 2.40, as far as they are used.
typedef unsigned long ck_ulong;

enum {
    CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,
    CKR_USER_ALREADY_LOGGED_IN = 0x100,
    CKF_RW_SESSION = 2,
    CKF_SERIAL_SESSION = 4,
    CKF_OS_LOCKING_OK = 2,
    CKU_USER = 1,
    CKO_SECRET_KEY = 4,
    CKK_AES = 0x1F,
    CKM_AES_KEY_GEN = 0x1080,
    CKM_AES_GCM = 0x1087,
    CKA_CLASS = 0,
    CKA_TOKEN = 1,
    CKA_PRIVATE = 2,
    CKA_LABEL = 3,
    CKA_KEY_TYPE = 0x100,
    CKA_ID = 0x102,
    CKA_SENSITIVE = 0x103,
    CKA_ENCRYPT = 0x104,
    CKA_DECRYPT = 0x105,
    CKA_VALUE_LEN = 0x161,
    CKA_EXTRACTABLE = 0x162,
};

struct attribute {
    ck_ulong type;
    void *value;
    ck_ulong count;
};

struct mechanism {
    ck_ulong type;
    void *parameter;
    ck_ulong count;
};

struct gcm_parameters {
    void *nonce;
    ck_ulong nonce_count;
    ck_ulong nonce_bits;
    void *context;
    ck_ulong context_count;
    ck_ulong tag_bits;
};

struct token_info {
    unsigned char label[32];
    unsigned char rest[256];
};

struct initialisation {
    void *create, *destroy, *lock, *unlock;
    ck_ulong flags;
    void *reserved;
};

/// The functions in the standard's order; those between the named ones are passed over.
struct functions {
    unsigned char version[2];
    ck_ulong (*initialize)(void *);
    void *finalize_to_get_function_list[3];
    ck_ulong (*get_slot_list)(unsigned char, ck_ulong *, ck_ulong *);
    void *get_slot_info;
    ck_ulong (*get_token_info)(ck_ulong, struct token_info *);
    void *get_mechanism_list_to_set_pin[5];
    ck_ulong (*open_session)(ck_ulong, ck_ulong, void *, void *, ck_ulong *);
    ck_ulong (*close_session)(ck_ulong);
    void *close_all_sessions_to_set_operation_state[4];
    ck_ulong (*login)(ck_ulong, ck_ulong, const unsigned char *, ck_ulong);
    void *logout_to_get_object_size[5];
    ck_ulong (*get_attribute_value)(ck_ulong, ck_ulong, struct attribute *, ck_ulong);
    void *set_attribute_value;
    ck_ulong (*find_objects_init)(ck_ulong, struct attribute *, ck_ulong);
    ck_ulong (*find_objects)(ck_ulong, ck_ulong *, ck_ulong, ck_ulong *);
    ck_ulong (*find_objects_final)(ck_ulong);
    ck_ulong (*encrypt_init)(ck_ulong, struct mechanism *, ck_ulong);
    ck_ulong (*encrypt)(ck_ulong, const unsigned char *, ck_ulong, unsigned char *, ck_ulong *);
    void *encrypt_update_final[2];
    ck_ulong (*decrypt_init)(ck_ulong, struct mechanism *, ck_ulong);
    ck_ulong (*decrypt)(ck_ulong, const unsigned char *, ck_ulong, unsigned char *, ck_ulong *);
    void *decrypt_update_to_decrypt_verify_update[23];
    ck_ulong (*generate_key)(ck_ulong, struct mechanism *, struct attribute *, ck_ulong, ck_ulong *);
    void *generate_key_pair_to_seed_random[5];
    ck_ulong (*generate_random)(ck_ulong, unsigned char *, ck_ulong);
};

struct kt_module {
    void *library;
    struct functions *call;
};

static unsigned char yes = 1, no = 0;

kt_result kt_module_load(const char *path, kt_module **module)
{
    void *const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return KT_NOT_LOADED;
    ck_ulong (*list)(struct functions **) = NULL;
    *(void **)&list = dlsym(library, "C_GetFunctionList");
    struct functions *functions = NULL;
    if (list == NULL || list(&functions) != KT_OK || functions == NULL || functions->version[0] < 2) {
        dlclose(library);
        return KT_NOT_LOADED;
    }
    struct initialisation threads = {.flags = CKF_OS_LOCKING_OK};
    const ck_ulong result = functions->initialize(&threads);
    if (result != KT_OK && result != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        dlclose(library);
        return result;
    }
    kt_module *const made = malloc(sizeof *made);
    if (made == NULL)
        return KT_NOT_LOADED;
    made->library = library;
    made->call = functions;
    *module = made;
    return KT_OK;
}

/// Whether a token's label, padded with blanks, is the one asked for.
static bool is_label(const unsigned char padded[32], const char *label)
{
    const size_t count = strlen(label);
    if (count > 32 || memcmp(padded, label, count) != 0)
        return false;
    for (size_t index = count; index < 32; index++) {
        if (padded[index] != ' ')
            return false;
    }
    return true;
}

kt_result kt_module_slot(kt_module *module, const char *label, unsigned long *slot)
{
    ck_ulong slots[256], count = 256, found = 0;
    const ck_ulong result = module->call->get_slot_list(yes, slots, &count);
    if (result != KT_OK)
        return result;
    for (ck_ulong index = 0; index < count && index < 256; index++) {
        struct token_info info;
        if (module->call->get_token_info(slots[index], &info) == KT_OK && is_label(info.label, label)) {
            *slot = slots[index];
            found++;
        }
    }
    return found == 1 ? KT_OK : KT_NO_TOKEN;
}

kt_result kt_session_open(kt_module *module, unsigned long slot, unsigned long *session)
{
    return module->call->open_session(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session);
}

void kt_session_close(kt_module *module, unsigned long session)
{
    module->call->close_session(session);
}

kt_result kt_session_login(kt_module *module, unsigned long session, const uint8_t *pin, size_t count)
{
    const ck_ulong result = module->call->login(session, CKU_USER, pin, count);
    return result == CKR_USER_ALREADY_LOGGED_IN ? KT_OK : result;
}

/// Reads a key's id and whether it is guarded as it must be.
static kt_result read_key(kt_module *module, unsigned long session, ck_ulong handle, kt_key *key)
{
    unsigned char is_sensitive = 0, is_extractable = 1, encrypts = 0, decrypts = 0;
    struct attribute wanted[] = {
        {CKA_ID, key->id, sizeof key->id},
        {CKA_SENSITIVE, &is_sensitive, 1},
        {CKA_EXTRACTABLE, &is_extractable, 1},
        {CKA_ENCRYPT, &encrypts, 1},
        {CKA_DECRYPT, &decrypts, 1},
    };
    const ck_ulong result = module->call->get_attribute_value(session, handle, wanted, 5);
    if (result != KT_OK)
        return result;
    key->handle = handle;
    key->id_count = wanted[0].count <= sizeof key->id ? wanted[0].count : 0;
    key->is_protected = is_sensitive && !is_extractable && encrypts && decrypts;
    return KT_OK;
}

kt_result kt_session_keys(kt_module *module, unsigned long session, const char *label, kt_key *keys, size_t capacity,
                          size_t *count)
{
    ck_ulong class = CKO_SECRET_KEY, type = CKK_AES, handles[256], found = 0;
    struct attribute wanted[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_LABEL, (void *)label, strlen(label)},
    };
    ck_ulong result = module->call->find_objects_init(session, wanted, 3);
    if (result != KT_OK)
        return result;
    result = module->call->find_objects(session, handles, capacity < 256 ? capacity : 256, &found);
    module->call->find_objects_final(session);
    *count = 0;
    for (ck_ulong index = 0; result == KT_OK && index < found && *count < capacity; index++) {
        result = read_key(module, session, handles[index], &keys[*count]);
        *count += 1;
    }
    return result;
}

kt_result kt_session_make_key(kt_module *module, unsigned long session, const char *label, const uint8_t *id,
                              size_t id_count)
{
    ck_ulong class = CKO_SECRET_KEY, type = CKK_AES, size = 32, handle = 0;
    struct attribute template[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &size, sizeof size}, {CKA_LABEL, (void *)label, strlen(label)},
        {CKA_ID, (void *)id, id_count},    {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},            {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &no, 1},         {CKA_ENCRYPT, &yes, 1},
        {CKA_DECRYPT, &yes, 1},
    };
    struct mechanism mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    return module->call->generate_key(session, &mechanism, template, sizeof template / sizeof *template, &handle);
}

kt_result kt_session_random(kt_module *module, unsigned long session, uint8_t *bytes, size_t count)
{
    return module->call->generate_random(session, bytes, count);
}

static struct gcm_parameters parameters(const kt_gcm *work)
{
    const struct gcm_parameters made = {
        (void *)work->nonce, work->nonce_count, work->nonce_count * 8, (void *)work->context, work->context_count, 128,
    };
    return made;
}

kt_result kt_session_encrypt(kt_module *module, unsigned long session, unsigned long key, kt_gcm *work)
{
    struct gcm_parameters gcm = parameters(work);
    struct mechanism mechanism = {CKM_AES_GCM, &gcm, sizeof gcm};
    ck_ulong result = module->call->encrypt_init(session, &mechanism, key);
    if (result != KT_OK)
        return result;
    ck_ulong count = work->capacity;
    result = module->call->encrypt(session, work->input, work->input_count, work->output, &count);
    work->output_count = count;
    return result == KT_OK && count > work->capacity ? (kt_result)KT_TOO_LARGE : result;
}

kt_result kt_session_decrypt(kt_module *module, unsigned long session, unsigned long key, kt_gcm *work)
{
    struct gcm_parameters gcm = parameters(work);
    struct mechanism mechanism = {CKM_AES_GCM, &gcm, sizeof gcm};
    ck_ulong result = module->call->decrypt_init(session, &mechanism, key);
    if (result != KT_OK)
        return result;
    ck_ulong count = work->capacity;
    result = module->call->decrypt(session, work->input, work->input_count, work->output, &count);
    work->output_count = count;
    return result == KT_OK && count > work->capacity ? (kt_result)KT_TOO_LARGE : result;
}

int kt_file_is_private(int descriptor)
{
    struct stat facts;
    return fstat(descriptor, &facts) == 0 && (facts.st_mode & 077) == 0 &&
           (facts.st_uid == 0 || facts.st_uid == geteuid());
}
