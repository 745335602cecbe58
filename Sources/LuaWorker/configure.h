// The mode that evaluates a keyturn.lua and hands back what it declares.
#ifndef KEYTURN_CONFIGURE_H
#define KEYTURN_CONFIGURE_H

#include "request.h"

/// Runs the texts of a configuration and answers on the channel.
///
/// `{ok=true, declarations=[…], output, output_was_cut}`, or `{ok=false, error={kind, message, file, line}}`.
void configure(const request *asked);

#endif
