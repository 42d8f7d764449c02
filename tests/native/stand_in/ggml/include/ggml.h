// SPDX-License-Identifier: Apache-2.0
#ifdef __cplusplus
extern "C"
#endif
int ggml_stand_in(void);
