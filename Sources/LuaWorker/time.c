// time.now, time.parse and time.format: seconds since 1970 and ISO 8601 in UTC, without the os library.
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libraries.h"

/// From the year 1 to the end of 9999.
#define SECONDS_LEAST (-62135596800LL)
#define SECONDS_MOST 253402300799LL

enum { DAY = 86400 };

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that a leap day comes last.
static int64_t days_from(int64_t year, int month, int day) {
    int64_t shifted = month > 2 ? year : year - 1;
    int64_t month_from_march = (month + 9) % 12;
    int64_t leap_days = shifted / 4 - shifted / 100 + shifted / 400;
    return 365 * shifted + leap_days + (153 * month_from_march + 2) / 5 + day - 1 - 719468;
}

static int days_in(int64_t year, int month) {
    int next = month % 12 + 1;
    return (int)(days_from(month == 12 ? year + 1 : year, next, 1) - days_from(year, month, 1));
}

static int now(lua_State *L) {
    struct timespec time = {0, 0};
    clock_gettime(CLOCK_REALTIME, &time);
    lua_pushinteger(L, time.tv_sec);
    return 1;
}

/// Reads a fixed number of digits; -1 where they are not there.
static int digits(const char **text, int count) {
    int number = 0;
    for (; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9') return -1;
        number = 10 * number + **text - '0';
    }
    return number;
}

static bool skip(const char **text, char wanted) {
    if (**text != wanted) return false;
    (*text)++;
    return true;
}

/// Reads what follows the seconds: a fraction, which is dropped, and the distance from UTC in seconds.
static bool read_zone(const char **text, int *offset) {
    *offset = 0;
    if (skip(text, '.')) {
        if (digits(text, 1) < 0) return false;
        while (**text >= '0' && **text <= '9') (*text)++;
    }
    if (skip(text, 'Z')) return true;
    int sign = skip(text, '+') ? 1 : skip(text, '-') ? -1 : 0;
    int hours = digits(text, 2);
    if (sign == 0 || hours < 0 || hours > 23 || !skip(text, ':')) return false;
    int minutes = digits(text, 2);
    if (minutes < 0 || minutes > 59) return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_time(const char *text, int64_t *seconds) {
    int offset;
    int year = digits(&text, 4);
    if (year < 1 || !skip(&text, '-')) return false;
    int month = digits(&text, 2);
    if (month < 1 || month > 12 || !skip(&text, '-')) return false;
    int day = digits(&text, 2);
    if (day < 1 || day > days_in(year, month)) return false;
    *seconds = days_from(year, month, day) * DAY;
    if (*text == 0) return true;
    if (!skip(&text, 'T') && !skip(&text, ' ')) return false;
    int hour = digits(&text, 2);
    if (hour < 0 || hour > 23 || !skip(&text, ':')) return false;
    int minute = digits(&text, 2);
    if (minute < 0 || minute > 59 || !skip(&text, ':')) return false;
    int second = digits(&text, 2);
    if (second < 0 || second > 59 || !read_zone(&text, &offset)) return false;
    *seconds += hour * 3600 + minute * 60 + second - offset;
    return *text == 0;
}

static int parse(lua_State *L) {
    size_t length;
    int64_t seconds;
    const char *text = luaL_checklstring(L, 1, &length);
    if (strlen(text) != length || !read_time(text, &seconds))
        return luaL_error(L, "time.parse: no time such as 2026-05-01T03:00:00Z or 2026-05-01T03:00:00+02:00");
    lua_pushinteger(L, seconds);
    return 1;
}

/// Adds one year or month at a time, from a guess that is at most a little early.
static int format(lua_State *L) {
    lua_Integer seconds = luaL_checkinteger(L, 1);
    if (seconds < SECONDS_LEAST || seconds > SECONDS_MOST)
        return luaL_argerror(L, 1, "outside of the years 1 to 9999");
    int64_t days = (seconds - SECONDS_LEAST) / DAY + SECONDS_LEAST / DAY;
    int rest = (int)(seconds - days * DAY);
    int64_t year = 1970 + days / 366 - (days < 0 ? 1 : 0);
    if (year < 1) year = 1;
    while (days_from(year, 1, 1) > days) year--;
    while (days_from(year + 1, 1, 1) <= days) year++;
    int month = 1;
    while (month < 12 && days_from(year, month + 1, 1) <= days) month++;
    int day = (int)(days - days_from(year, month, 1)) + 1;
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, month, day, rest / 3600, rest / 60 % 60,
             rest % 60);
    lua_pushstring(L, text);
    return 1;
}

void libraries_push_time(lua_State *L) {
    static const luaL_Reg functions[] = {{"format", format}, {"now", now}, {"parse", parse}, {NULL, NULL}};
    luaL_newlib(L, functions);
    libraries_make_read_only(L);
}
