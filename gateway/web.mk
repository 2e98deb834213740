# SPDX-License-Identifier: MIT
# What the gateway serves from within: each file of gateway/web/ and docs/*.json as it is, as the
# array web_<name>, and packed, web_<name>_gz. Those of gateway/web/vendor/ are there packed only.
WEB := $(notdir $(filter-out $(if $(VIEWER),,gateway/web/docs.%),$(wildcard gateway/web/*.*))) \
    openapi.json asyncapi.json
WEB_OBJECTS := $(WEB:%=$(BUILD)/gen/web/%.o) \
    $(patsubst %,$(BUILD)/gen/web/%.gz.o,$(WEB) $(VIEWER))

symbol = web_$(subst -,_,$(subst .,_,$*))
pack = @mkdir -p $(@D) && gzip -9nc $< >$@
$(BUILD)/gen/web/%.c: gateway/web/% common/embed
	$(call embed,$(symbol))
$(BUILD)/gen/web/%.c: docs/% common/embed
	$(call embed,$(symbol))
$(BUILD)/gen/web/%.gz.c: $(BUILD)/gen/web/%.gz common/embed
	$(call embed,$(symbol)_gz)
$(BUILD)/gen/web/%.gz.c: gateway/web/vendor/%.gz common/embed
	$(call embed,$(symbol)_gz)
$(BUILD)/gen/web/%.gz: gateway/web/%
	$(pack)
$(BUILD)/gen/web/%.gz: docs/%
	$(pack)
