"""What warehouses and their systems call the columns: English, French, German, Spanish, Italian, and the
technical names of SAP, Oracle and Dynamics.

Written as people write them; case, accents, spaces and punctuation do not count (see `columns.plain`). Of two
columns that mean the same field, the one whose name stands first here is read.
"""

from __future__ import annotations

# Digits in an IMEI column's name do not count either: IMEI 1, IMEI2, imei_slot_1.
IMEI = """
    IMEI | IMEIs | IMEI/MEID | MEID/IMEI | IMEI No. | IMEI Nr. | IMEI Num | IMEI number | IMEI numbers | IMEI code
    Device IMEI | Handset IMEI | Phone IMEI | IMEI slot | Slot IMEI | IMEI SIM | SIM IMEI | IMEI eSIM | eSIM IMEI
    Primary IMEI | Secondary IMEI | IMEI primary | IMEI secondary | ZZIMEI | Z_IMEI
    N° IMEI | No. IMEI | Num. IMEI | Numéro IMEI | Numéro d'IMEI | Code IMEI | IMEI principal | IMEI secondaire
    IMEI-Nummer | IMEI-Nummern | Geräte-IMEI
    Número IMEI | Número de IMEI | Nº de IMEI | N° de IMEI | Código IMEI | IMEI secundario
    Numero di IMEI | Codice IMEI | IMEI principale | IMEI secondario
"""

FIELDS = {
    "serial": """
        serial | Serial No. | Serial number | SN | S/N | Serial Nr. | Serial num | Serial code | Serial ID
        Serial # | Device serial | Device serial number | Product serial number | Item serial number
        SERNR | SERIALNR | InventSerialId | Lot/Serial number
        N° de série | N° série | No de série | Nº de série | Num. de série | Num. série | Numéro de série
        Numéro série | Code série
        Seriennummer | Serien-Nr. | Seriennummern | Serialnummer
        Número de serie | N° de serie | N.º de serie | N.º serie | Núm. de serie | Núm. serie
        Numero di serie | N. di serie | Nr. di serie | Numero seriale | Seriale | Matricola | Numero matricola
    """,
    "gtin": """
        gtin | EAN | UPC | GTIN-14 | GTIN-13 | GTIN-12 | GTIN-8 | EAN-13 | EAN-8 | EAN-14 | UPC-A | UPC-E
        GTIN/EAN | EAN/GTIN | EAN/UPC | UPC/EAN | GTIN code | GTIN number | GTIN No. | EAN code | EAN number
        EAN No. | EAN Nr. | UPC code | UPC number | Global trade item number | GlobalTradeItemNumber
        EAN11 | EANUPC | ItemGTIN | Item GTIN | Item EAN | Product EAN | Article EAN
        Code EAN | Code EAN 13 | Code GTIN | Code UPC | Gencod | Gencode
        EAN-Nummer | GTIN-Nummer | Artikel-EAN
        Código EAN | Código GTIN | Código EAN 13
        Codice EAN | Codice GTIN | Codice EAN 13
    """,
    "pallet": """
        sscc | Pallet | Pallet ID | SSCC-18 | SSCC number | SSCC No. | SSCC code | Pallet SSCC | Pallet No.
        Pallet Nr. | Pallet number | Pallet code | Pallet label | Pallet barcode | Serial shipping container code
        License plate | License plate number | License plate No. | License plate ID | Licence plate
        Licence plate number | LPN | LPN ID | LPN number | LicensePlateId | Handling unit | Handling unit number
        Handling unit ID | HU | HU number | HU ID | HUIDENT | EXIDV | External HU ID | Logistic unit
        Palette | N° palette | N° de palette | No palette | Nº palette | Num. palette | Numéro palette
        Numéro de palette | ID palette | Code palette | Code SSCC | N° SSCC | Numéro SSCC | Unité logistique
        Paletten-ID | Paletten-Nr. | Palettennummer | Paletten-SSCC | NVE | NVE/SSCC | SSCC/NVE | NVE-Nummer
        SSCC-Nummer | Ladeeinheit | Handling-Unit-Nummer
        Palé | Palet | N° de palé | N° palé | Nº palet | Número de palet | Número de palé
        Número de pallet | Código SSCC | Matrícula SSCC
        Bancale | ID bancale | N. bancale | Numero bancale | Pedana | Numero pedana | Numero pallet | N. pallet
        Codice pallet | Codice SSCC
    """,
    "site": """
        site | Warehouse | Location | Site ID | Site code | Site name | Warehouse ID | Warehouse code
        Warehouse name | Warehouse No. | Warehouse number | WH | Plant | Plant code | Facility | Facility ID
        Facility code | Fulfilment centre | Fulfillment center | Distribution centre | Distribution center | DC
        Depot | Storage location | Location code | WERKS | LGNUM | LGORT | Organization code | Subinventory
        Subinventory code | InventSiteId | InventLocationId
        Entrepôt | Code entrepôt | Dépôt | Code dépôt | Code site | Magasin | Plateforme | Emplacement
        Standort | Lager | Lagerort | Lagernummer | Lagerstandort | Werk
        Almacén | Código almacén | Centro | Sitio | Ubicación | Depósito
        Magazzino | Codice magazzino | Sito | Sede | Deposito | Ubicazione
    """,
    "owner": """
        owner | Customer | Principal | Owner name | Owner code | Stock owner | Goods owner | Owned by | Owner ID
        Customer name | Client | Client name | Depositor | Inventory owner | Merchant | Retailer
        Owning party | Party entitled to dispose | InventOwnerId
        Propriétaire | Nom du propriétaire | Donneur d'ordre | Déposant | Nom du client
        Eigentümer | Besitzer | Mandant | Kunde | Kundenname | Auftraggeber
        Propietario | Depositante | Cliente
        Proprietario | Committente | Depositante | Nome cliente
    """,
    "model": """
        model | Description | Model name | Model No. | Model number | Product | Product name | Product description
        Item name | Item description | Article description | Material description | Device model | Device name
        Marketing name | MAKTX | ITEM_DESC | ItemName | ProductName
        Modèle | Désignation | Désignation article | Libellé | Libellé article | Libellé produit | Produit
        Nom du produit
        Modell | Bezeichnung | Artikelbezeichnung | Artikelname | Produktname | Produkt
        Materialkurztext | Beschreibung
        Modelo | Descripción | Descripción del artículo | Nombre del producto | Producto
        Modello | Descrizione | Descrizione articolo | Nome prodotto | Prodotto
    """,
    "unit_value": """
        unit value | Unit price | Value | Price | Item value | Item price | Value per unit | Price per unit
        Unit cost | Declared value | Insured value | Goods value | Purchase price | Cost price | Net price
        Standard price | Cost | NETPR | STPRS | VERPR | UNIT_SELLING_PRICE | CostPrice
        Valeur unitaire | Prix unitaire | Prix unitaire HT | PU | PU HT | Valeur | Prix | Prix HT
        Valeur déclarée | Prix d'achat
        Stückwert | Stückpreis | Einzelpreis | Einzelwert | Warenwert | Wert | Preis | Einkaufspreis | Nettopreis
        Valor unitario | Precio unitario | Valor | Precio | Valor declarado | Precio de compra
        Valore unitario | Prezzo unitario | Valore | Prezzo | Valore dichiarato | Prezzo d'acquisto
    """,
    "currency": """
        currency | Currency code | Curr. | CCY | ISO currency | Currency ISO | WAERS | CURRENCY_CODE | CurrencyCode
        Price currency | Value currency
        Devise | Code devise | Monnaie
        Währung | Währungscode | Währungsschlüssel
        Moneda | Divisa | Código de moneda
        Valuta | Codice valuta
    """,
}
