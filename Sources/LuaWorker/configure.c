#include "configure.h"

#include "channel.h"
#include "declare.h"

static void pack_answer(sandbox *box, const declarations *declared, buffer *out) {
    pack_map(out, 4);
    pack_string(out, "ok");
    pack_bool(out, true);
    pack_string(out, "output");
    pack_text(out, box->output.bytes, box->output.count);
    pack_string(out, "output_was_cut");
    pack_bool(out, box->output_was_cut);
    pack_string(out, "declarations");
    declare_pack(box, declared, out);
}

void configure(const request *asked) {
    host self = {.run = 0};
    sandbox box;
    declarations declared;
    sandbox_outcome outcome;
    const char *file = declare_all(&self, &box, &declared, asked, &outcome);
    channel_disarm_deadline();
    if (file != NULL) {
        channel_write_error(outcome.kind, outcome.message, file, outcome.line);
        return;
    }
    buffer answer = buffer_make(FRAME_LIMIT);
    pack_answer(&box, &declared, &answer);
    if (answer.refused) channel_write_error("memory", "the declarations are larger than 16 MiB", "", 0);
    else channel_write(&answer);
}
