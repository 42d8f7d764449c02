// SPDX-License-Identifier: Apache-2.0
#ifdef __cplusplus
extern "C"
#endif
int llama_stand_in(void);
