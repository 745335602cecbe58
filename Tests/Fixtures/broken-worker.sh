#!/bin/sh
# A program in the place of keyturn-lua that breaks the protocol in the way its name says.
case "${0##*/}" in
segv) kill -SEGV $$ ;;
kill) kill -KILL $$ ;;
exit-*) exit "${0##*-}" ;;
two-values) printf '\000\000\000\002\300\300' >&3 ;;
long-frame) printf '\377\377\377\377' >&3 ;;
nil-frame) printf '\000\000\000\001\300' >&3 ;;
half-frame)
    printf '\000\000\000' >&3
    exec 3>&-
    exec sleep 60
    ;;
*) exec sleep 60 ;;
esac
