// Lua's patterns, matched with every step counted, so that one which backtracks without end can be stopped.
#ifndef KEYTURN_PATTERN_H
#define KEYTURN_PATTERN_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_CAPTURES = 32,
    PATTERN_STEPS_MOST = 10000000,
};

typedef struct {
    const char *start;
    /// The length, or one of the values below zero.
    ptrdiff_t length;
} pattern_capture;

/// A subject and a pattern, and how far the search has come. It must not outlive either.
typedef struct {
    lua_State *L;
    const char *subject;
    const char *subject_end;
    const char *pattern_end;
    int64_t steps;
    int depth;
    int count;
    pattern_capture captures[PATTERN_CAPTURES];
} pattern_search;

/// Begins a search.
pattern_search pattern_begin(lua_State *L, const char *subject, size_t length, const char *pattern_end);

/// Matches the pattern from `p` at one place of the subject.
///
/// Returns where the match ends, NULL where there is none. Raises for a malformed pattern and beyond the steps, and ends
/// the script where a limit has been reached meanwhile.
const char *pattern_match(pattern_search *self, const char *place, const char *p);

/// Pushes one capture of the match from `start` to `end`; the first of none is the whole match.
void pattern_push_capture(pattern_search *self, int index, const char *start, const char *end);

/// Pushes all captures and returns how many; without any the whole match, where `takes_whole` says so.
int pattern_push_captures(pattern_search *self, const char *start, const char *end, int takes_whole);

#endif
