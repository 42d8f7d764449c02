// SPDX-License-Identifier: Apache-2.0
#include "llama.h"
#include "ggml.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int llama_stand_in(void) { return ggml_stand_in(); }

#ifdef FAULT_COMPILE
int broken = a_name_nobody_declared;
#endif

#ifdef FAULT_LAYOUT
struct llama_context_params { char bytes[200]; };
extern "C" llama_context_params llama_context_default_params(void) {
    llama_context_params params;
    memset(&params, 7, sizeof params);
    return params;
}
#endif

#ifdef FAULT_RESULTS
extern "C" float * llama_get_logits_ith(void * context, int index) {
    static float logits[257];
    auto real = (float * (*)(void *, int)) dlsym(RTLD_NEXT, "llama_get_logits_ith");
    memcpy(logits, real(context, index), sizeof logits);
    for (int i = 0; i + 1 < 257; i += 2) logits[i] = logits[i + 1];
    return logits;
}
#endif

#ifdef FAULT_CRASH
extern "C" float * llama_get_logits_ith(void *, int) { abort(); }
#endif
