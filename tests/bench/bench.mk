# SPDX-License-Identifier: MIT
# The load generator and the floor that servers are compared with; included by the Makefile.
BENCH := $(wildcard tests/bench/*.c)
LOAD  := $(filter-out %/floor.c,$(BENCH))

$(BUILD)/chat-load: $(LOAD:%.c=$(BUILD)/%.o) $(BUILD)/common.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/chat-floor: $(BUILD)/tests/bench/floor.o $(BUILD)/gateway.a $(BUILD)/common.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

unit-programs: $(BUILD)/chat-load # tests/integration/test_load.py uses it

bench-programs: $(BUILD)/chat-load $(BUILD)/chat-floor

bench: all bench-programs
	tests/bench/run

-include $(BENCH:%.c=$(BUILD)/%.d)
