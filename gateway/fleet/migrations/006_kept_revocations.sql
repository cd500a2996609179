-- A certificate that counts no more has to stay on the broker's list until it ends, also when its home is forgotten: then without the home.

ALTER TABLE fleet.certificates ALTER COLUMN site DROP NOT NULL;
ALTER TABLE fleet.certificates DROP CONSTRAINT certificates_site_fkey;
ALTER TABLE fleet.certificates ADD CONSTRAINT certificates_site_fkey FOREIGN KEY (site) REFERENCES fleet.sites ON DELETE SET NULL;
COMMENT ON COLUMN fleet.certificates.site IS 'NULL: of a home that was forgotten; the row goes once the certificate has ended.';
