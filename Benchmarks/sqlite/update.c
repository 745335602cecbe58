/* The peer of a rotation: one statement, UPDATE t SET c = f(c), with f a bare C function that copies and changes a byte.
 *
 * usage: update FILE      prints the seconds that the statement took, commit and checkpoint included
 */

#define _GNU_SOURCE
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Hands back the value with its last byte changed, which is as little as a cipher could do. */
static void turn(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    const void *value = sqlite3_value_blob(values[0]);
    int size = sqlite3_value_bytes(values[0]);
    if (value == NULL || size == 0) {
        sqlite3_result_null(context);
        return;
    }
    unsigned char *copy = sqlite3_malloc(size);
    if (copy == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    memcpy(copy, value, (size_t)size);
    copy[size - 1] ^= 1;
    sqlite3_result_blob(context, copy, size, sqlite3_free);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int run(sqlite3 *database)
{
    /* What a rotation has to pay for and the peer has not: the fence, whose triggers go before the clock starts. */
    const char *bare = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't'";
    char drops[1024] = "";
    sqlite3_stmt *triggers = NULL;
    if (sqlite3_prepare_v2(database, bare, -1, &triggers, NULL) != SQLITE_OK) return 0;
    while (sqlite3_step(triggers) == SQLITE_ROW) {
        char *drop = sqlite3_mprintf("DROP TRIGGER \"%w\";", sqlite3_column_text(triggers, 0));
        if (drop != NULL) strncat(drops, drop, sizeof drops - strlen(drops) - 1);
        sqlite3_free(drop);
    }
    sqlite3_finalize(triggers);
    if (sqlite3_exec(database, drops, NULL, NULL, NULL) != SQLITE_OK) return 0;
    if (sqlite3_create_function(database, "f", 1, SQLITE_UTF8, NULL, turn, NULL, NULL) != SQLITE_OK) return 0;

    double start = now();
    if (sqlite3_exec(database, "UPDATE t SET c = f(c)", NULL, NULL, NULL) != SQLITE_OK) return 0;
    printf("%.6f %d\n", now() - start, sqlite3_changes(database));
    return 1;
}

int main(int count, char **words)
{
    if (count != 2) {
        fprintf(stderr, "usage: update FILE\n");
        return 64;
    }
    sqlite3 *database = NULL;
    int done = sqlite3_open(words[1], &database) == SQLITE_OK && run(database);
    if (!done) fprintf(stderr, "update: %s\n", sqlite3_errmsg(database));
    sqlite3_close(database);
    return done ? 0 : 1;
}
