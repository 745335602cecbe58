#include "pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "sandbox.h"

enum {
    /// As deep as Lua's own matcher recurses.
    DEPTH_MOST = 200,
    /// Steps between two looks at the limits of the script; a power of two.
    STEPS_A_LOOK = 4096,
    ESCAPE = '%',
};

/// Lengths of captures that are no lengths.
enum { UNFINISHED = -1, POSITION = -2 };

pattern_search pattern_begin(lua_State *L, const char *subject, size_t length, const char *pattern_end) {
    return (pattern_search){
        .L = L, .subject = subject, .subject_end = subject + length, .pattern_end = pattern_end,
    };
}

static void take_step(pattern_search *self) {
    self->steps++;
    if (self->steps > PATTERN_STEPS_MOST)
        luaL_error(self->L, "the pattern needs more than %d steps", PATTERN_STEPS_MOST);
    if ((self->steps & (STEPS_A_LOOK - 1)) == 0) sandbox_stop_if_due(self->L);
}

/// The character at a place, zero at the end, as Lua reads it.
static int at(const char *place, const char *end) {
    return place < end ? (unsigned char)*place : 0;
}

/// Where the item that stands for one character, and begins at `p`, ends.
static const char *item_end(pattern_search *self, const char *p) {
    const char *end = self->pattern_end;
    char first = *p++;
    if (first == ESCAPE) {
        if (p == end) luaL_error(self->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (first != '[') return p;
    if (at(p, end) == '^') p++;
    // The first character belongs to the set, also where it is a bracket.
    do {
        if (p == end) luaL_error(self->L, "malformed pattern (missing ']')");
        bool is_escape = *p++ == ESCAPE;
        if (is_escape && p < end) p++;
    } while (at(p, end) != ']' || p == end);
    return p + 1;
}

static bool is_in_class(int character, int class) {
    bool is_member;
    switch (tolower(class)) {
    case 'a': is_member = isalpha(character); break;
    case 'c': is_member = iscntrl(character); break;
    case 'd': is_member = isdigit(character); break;
    case 'g': is_member = isgraph(character); break;
    case 'l': is_member = islower(character); break;
    case 'p': is_member = ispunct(character); break;
    case 's': is_member = isspace(character); break;
    case 'u': is_member = isupper(character); break;
    case 'w': is_member = isalnum(character); break;
    case 'x': is_member = isxdigit(character); break;
    case 'z': is_member = character == 0; break;
    default: return class == character;
    }
    return isupper(class) ? !is_member : is_member;
}

/// Whether a character belongs to the set between `p`, its opening bracket, and `last`, its closing one.
static bool is_in_set(int character, const char *p, const char *last) {
    bool is_member = true;
    p++;
    if (*p == '^') {
        is_member = false;
        p++;
    }
    while (p < last) {
        if (*p == ESCAPE) {
            if (is_in_class(character, (unsigned char)p[1])) return is_member;
            p += 2;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= character && character <= (unsigned char)p[2]) return is_member;
            p += 3;
        } else {
            if ((unsigned char)*p == character) return is_member;
            p++;
        }
    }
    return !is_member;
}

/// Whether the character at a place is one that the item from `p` to `end` stands for.
static bool is_item(const pattern_search *self, const char *place, const char *p, const char *end) {
    if (place >= self->subject_end) return false;
    int character = (unsigned char)*place;
    switch (*p) {
    case '.': return true;
    case ESCAPE: return is_in_class(character, (unsigned char)p[1]);
    case '[': return is_in_set(character, p, end - 1);
    default: return (unsigned char)*p == character;
    }
}

/// As many as there are, then fewer.
static const char *match_longest(pattern_search *self, const char *place, const char *p, const char *end) {
    ptrdiff_t count = 0;
    while (is_item(self, place + count, p, end)) {
        take_step(self);
        count++;
    }
    for (; count >= 0; count--) {
        const char *found = pattern_match(self, place + count, end + 1);
        if (found != NULL) return found;
    }
    return NULL;
}

/// As few as there need be, then more.
static const char *match_shortest(pattern_search *self, const char *place, const char *p, const char *end) {
    for (;; place++) {
        const char *found = pattern_match(self, place, end + 1);
        if (found != NULL) return found;
        if (!is_item(self, place, p, end)) return NULL;
    }
}

/// %bxy: from an x to the y that balances it. `p` stands behind the b.
static const char *balance_end(pattern_search *self, const char *place, const char *p) {
    if (self->pattern_end - p < 2) luaL_error(self->L, "malformed pattern (missing arguments to '%%b')");
    if (place >= self->subject_end || *place != p[0]) return NULL;
    int64_t open = 1;
    for (place++; place < self->subject_end; place++) {
        take_step(self);
        if (*place == p[1]) {
            if (--open == 0) return place + 1;
        } else if (*place == p[0]) {
            open++;
        }
    }
    return NULL;
}

/// %f[set]: between a character that is not in the set and one that is. `p` stands at the set.
static bool is_frontier(pattern_search *self, const char *place, const char *p, const char *end) {
    int before = place == self->subject ? 0 : (unsigned char)place[-1];
    return !is_in_set(before, p, end - 1) && is_in_set(at(place, self->subject_end), p, end - 1);
}

/// %1: what a capture holds once more; NULL where it does not stand there.
static const char *repetition_end(pattern_search *self, const char *place, int digit) {
    int index = digit - '1';
    if (index < 0 || index >= self->count || self->captures[index].length == UNFINISHED)
        luaL_error(self->L, "invalid capture index %%%d", index + 1);
    ptrdiff_t length = self->captures[index].length;
    if (length < 0 || self->subject_end - place < length) return NULL;
    if (length > 0 && memcmp(self->captures[index].start, place, (size_t)length) != 0) return NULL;
    return place + length;
}

static const char *open_capture(pattern_search *self, const char *place, const char *p, ptrdiff_t length) {
    if (self->count >= PATTERN_CAPTURES) luaL_error(self->L, "too many captures");
    self->captures[self->count] = (pattern_capture){place, length};
    self->count++;
    const char *found = pattern_match(self, place, p);
    if (found == NULL) self->count--;
    return found;
}

static const char *close_capture(pattern_search *self, const char *place, const char *p) {
    int index = self->count - 1;
    while (index >= 0 && self->captures[index].length != UNFINISHED) index--;
    if (index < 0) luaL_error(self->L, "invalid pattern capture");
    self->captures[index].length = place - self->captures[index].start;
    const char *found = pattern_match(self, place, p);
    if (found == NULL) self->captures[index].length = UNFINISHED;
    return found;
}

/// What the part of a pattern at hand came to.
typedef enum { ENDED, GOES_ON } progress;

/// A single item and what follows it; moves `place` and `p` where no choice is left open.
static progress match_item(pattern_search *self, const char **place, const char **p) {
    const char *end = item_end(self, *p);
    int suffix = at(end, self->pattern_end);
    if (suffix == '*') return *place = match_longest(self, *place, *p, end), ENDED;
    if (suffix == '-') return *place = match_shortest(self, *place, *p, end), ENDED;
    bool is_there = is_item(self, *place, *p, end);
    if (suffix == '+') return *place = is_there ? match_longest(self, *place + 1, *p, end) : NULL, ENDED;
    if (suffix == '?') {
        const char *found = is_there ? pattern_match(self, *place + 1, end + 1) : NULL;
        if (found != NULL) return *place = found, ENDED;
        *p = end + 1;
        return GOES_ON;
    }
    if (!is_there) return *place = NULL, ENDED;
    (*place)++;
    *p = end;
    return GOES_ON;
}

/// A part that begins with %; like `match_item`.
static progress match_escape(pattern_search *self, const char **place, const char **p) {
    int kind = at(*p + 1, self->pattern_end);
    if (kind == 'b') {
        *place = balance_end(self, *place, *p + 2);
        *p += 4;
    } else if (kind == 'f') {
        const char *set = *p + 2;
        if (at(set, self->pattern_end) != '[') luaL_error(self->L, "missing '[' after '%%f' in pattern");
        const char *end = item_end(self, set);
        if (!is_frontier(self, *place, set, end)) *place = NULL;
        *p = end;
    } else if (isdigit(kind)) {
        *place = repetition_end(self, *place, kind);
        *p += 2;
    } else {
        return match_item(self, place, p);
    }
    return *place == NULL ? ENDED : GOES_ON;
}

static progress match_part(pattern_search *self, const char **place, const char **p) {
    switch (**p) {
    case '(':
        if (at(*p + 1, self->pattern_end) == ')') *place = open_capture(self, *place, *p + 2, POSITION);
        else *place = open_capture(self, *place, *p + 1, UNFINISHED);
        return ENDED;
    case ')': return *place = close_capture(self, *place, *p + 1), ENDED;
    case '$':
        if (*p + 1 != self->pattern_end) return match_item(self, place, p);
        if (*place != self->subject_end) *place = NULL;
        return ENDED;
    case ESCAPE: return match_escape(self, place, p);
    default: return match_item(self, place, p);
    }
}

const char *pattern_match(pattern_search *self, const char *place, const char *p) {
    if (self->depth >= DEPTH_MOST) luaL_error(self->L, "pattern too complex");
    self->depth++;
    progress made = GOES_ON;
    while (made == GOES_ON && p != self->pattern_end) {
        take_step(self);
        made = match_part(self, &place, &p);
    }
    self->depth--;
    return place;
}

void pattern_push_capture(pattern_search *self, int index, const char *start, const char *end) {
    if (index >= self->count) {
        if (index != 0) luaL_error(self->L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(self->L, start, (size_t)(end - start));
        return;
    }
    const pattern_capture *capture = &self->captures[index];
    if (capture->length == UNFINISHED) luaL_error(self->L, "unfinished capture");
    if (capture->length == POSITION) lua_pushinteger(self->L, capture->start - self->subject + 1);
    else lua_pushlstring(self->L, capture->start, (size_t)capture->length);
}

int pattern_push_captures(pattern_search *self, const char *start, const char *end, int takes_whole) {
    int count = self->count == 0 && takes_whole ? 1 : self->count;
    luaL_checkstack(self->L, count, "too many captures");
    for (int i = 0; i < count; i++) pattern_push_capture(self, i, start, end);
    return count;
}
