# SPDX-License-Identifier: MIT
# For ../../Makefile: the simulator, of the real engines and their glue with small bounds, so that each is met.
SIM_ENGINES := $(addprefix common/,budget buf chain feed iso_time json log log_link mem message metrics refusals reply \
      script sha1 utf8) $(addprefix gateway/,client clients_counts clients_kept deadlines deflate fanout flush \
      join link outbox rests room room_log room_wake tail waits websocket) \
    $(addprefix persister/,ahead ingest opening overlap restore)
SIM_TESTS   := $(wildcard tests/sim/*.c)
SIM_OBJECTS := $(SIM_ENGINES:%=$(BUILD)/sim/%.o) $(SIM_TESTS:%.c=$(BUILD)/sim/%.o)
SIM_HEADERS := $(BUILD)/sim/include/common/limits.h \
    $(BUILD)/sim/include/persister/ingest_internal.h
SIM_COMPILE := $(subst -I. ,-I$(BUILD)/sim/include -I. ,$(COMPILE)) \
    -U_FORTIFY_SOURCE $(shell $(PKG_CONFIG) --cflags lua5.1 2>/dev/null)
SIM_LIBS    := $(shell $(PKG_CONFIG) --libs json-c zlib lua5.1 2>/dev/null) -lm

$(BUILD)/sim/include/%.h: %.h tests/sim/small.sed
	@mkdir -p $(@D)
	$(Q)sed -f tests/sim/small.sed $< >$@

$(BUILD)/sim/%.o: %.c $(SIM_HEADERS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,SIM,$<)
	$(Q)$(SIM_COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/chat-sim: $(SIM_OBJECTS) $(SCRIPTS:common/%=$(BUILD)/gen/%.o)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(SIM_LIBS)
	@{ echo 'SIM_COMPILE="$(SIM_COMPILE)"'; echo 'SIM_LINK="$(LINK)"'; \
	  echo 'SIM_OBJECTS="$^"'; echo 'SIM_LIBS="$(SIM_LIBS)"'; } >$(BUILD)/sim/commands

sim: $(BUILD)/chat-sim

.PHONY: sim

-include $(SIM_OBJECTS:.o=.d)
