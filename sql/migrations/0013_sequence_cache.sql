-- A submission takes thousands of numbers at once; asking for each by itself takes longer than using it.
ALTER SEQUENCE device_device_id_seq CACHE 1000;
ALTER SEQUENCE serial_number_serial_id_seq CACHE 1000;
