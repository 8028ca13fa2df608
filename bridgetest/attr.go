package bridgetest

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// setAttrs fills a bridge.BridgeAttrs or bridge.PortAttrs from words ATTR=VALUE. The
// names are Linux's, "mcast_snooping", which are those of the fields in another case.
// Values are numbers, on and off, durations ("10s"), addresses and names.
func setAttrs[T any](words []string) (attrs T, err error) {
	v := reflect.ValueOf(&attrs).Elem()
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		field := v.FieldByNameFunc(func(f string) bool {
			return strings.EqualFold(f, strings.ReplaceAll(name, "_", ""))
		})
		if !ok || !field.IsValid() {
			return attrs, fmt.Errorf("%w: there is no setting %s", errUsage, name)
		}
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if err := setValue(field, value); err != nil {
			return attrs, fmt.Errorf("%w: %s: %w", errUsage, word, err)
		}
	}
	return attrs, nil
}

func setValue(field reflect.Value, value string) error {
	if p, ok := field.Addr().Interface().(*frame.MAC); ok {
		var err error
		*p, err = frame.ParseMAC(value)
		return err
	}
	if field.Kind() == reflect.Uint8 { // a named value
		for n := range uint64(256) {
			field.SetUint(n)
			if name, ok := field.Interface().(fmt.Stringer); ok && name.String() == value {
				return nil
			}
		}
	}
	switch value { // of a bool, and of numbers that are one
	case "on":
		value = "1"
	case "off":
		value = "0"
	}
	switch field.Kind() {
	case reflect.Bool:
		on, err := strconv.ParseBool(value)
		field.SetBool(on)
		return err
	case reflect.String:
		field.SetString(value)
		return nil
	case reflect.Int, reflect.Int64:
		if d, err := time.ParseDuration(value); field.Type() == reflect.TypeFor[time.Duration]() {
			field.SetInt(int64(d))
			return err
		}
		n, err := strconv.ParseInt(value, 0, field.Type().Bits())
		field.SetInt(n)
		return err
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		n, err := strconv.ParseUint(value, 0, field.Type().Bits())
		field.SetUint(n)
		return err
	}
	return fmt.Errorf("no value of a scenario is a %s", field.Type())
}
